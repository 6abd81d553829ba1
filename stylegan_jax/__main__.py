"""Lists the commands: `python -m stylegan_jax`; runs one: `... COMMAND [flags]`."""

import ast
import importlib
import sys
from pathlib import Path

from stylegan_jax.commands import running
from stylegan_jax.errors import UserError, did_you_mean

_PROG = "python -m stylegan_jax"


def main() -> None:
    """Runs the command."""
    known = commands()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: {_PROG}.COMMAND [flags]\n")
        print("\n".join(f"  {name:<13} {text}" for name, text in known.items()))
        print(f"\n{_PROG}.COMMAND --help shows the flags of a command.")
        return
    name = sys.argv.pop(1)
    if name not in known:
        hint = did_you_mean(name, known) or f"they are {', '.join(known)}"
        raise UserError(f"no command {name!r}; {hint}")
    importlib.import_module(f"stylegan_jax.commands.{name}").main()


def commands() -> dict[str, str]:
    """What `python -m stylegan_jax.NAME` runs, with its help's first words."""
    found = {}
    folder = Path(__file__).parent
    for module in sorted(folder.glob("commands/[!_]*.py")):
        # `figures` is a room too.
        shims = folder / module.name, folder / module.stem / "__main__.py"
        if any(shim.exists() for shim in shims):
            text = ast.get_docstring(ast.parse(module.read_text())) or ""
            found[module.stem] = text.splitlines()[0].split(": `")[0].rstrip(".")
    return found


if __name__ == "__main__":
    running.run_main(main)
