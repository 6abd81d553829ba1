"""Edits images: `python -m stylegan_jax.edit OPERATION NETWORK ... --outdir DIR`.

    python -m stylegan_jax.edit morph ffhq me.png you.png --outdir morph
    python -m stylegan_jax.edit mix runs/portraits --content seed:1-3 \
        --style seed:4-6 --outdir mixed
    python -m stylegan_jax.edit inpaint ffhq me.png --mask mouth --outdir filled

An input is `seed:12`, `portrait:50001` (a built-in one), a .safetensors of codes that
`stylegan_jax.invert` or an edit wrote, or a picture, which is inverted on the way.
Each operation writes pictures, codes if any, and grid.png; see docs/editing.md.
"""

import sys
from collections.abc import Sequence

from stylegan_jax.commands import cli
from stylegan_jax.commands import edit_latents as latent
from stylegan_jax.commands import edit_local as local
from stylegan_jax.commands.edit_bench import Command, Workbench
from stylegan_jax.commands.edit_morph import Morph
from stylegan_jax.errors import UserError, did_you_mean

OPERATIONS: dict[str, type[Command]] = {
    "reconstruct": latent.Reconstruct,
    "morph": Morph,
    "mix": latent.Mix,
    "scale": latent.Scale,
    "expression": latent.Expression,
    "features": latent.Features,
    "attribute": latent.Attribute,
    "crossover": local.Crossover,
    "inpaint": local.Inpaint,
    "scribble": local.Scribble,
    "local-style": local.LocalStyle,
    "swap-face": local.SwapFace,
    "paste-back": latent.PasteBack,
}


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    words = sys.argv[1:] if argv is None else list(argv)
    prog = "python -m stylegan_jax.edit"
    if not words or words[0] in ("-h", "--help"):
        _explain(prog)
        return
    if words[0] not in OPERATIONS:
        hint = did_you_mean(words[0], OPERATIONS)
        known = f"they are {', '.join(OPERATIONS)}"
        raise UserError(f"no operation {words[0]!r}; {hint or known}")
    command = cli.parse(OPERATIONS[words[0]], words[1:], prog=f"{prog} {words[0]}")
    bench = Workbench(command)
    command.run(bench)
    if bench.rejected:
        raise UserError(
            f"{len(bench.rejected)} inputs were left out: {'; '.join(bench.rejected)}"
        )


def _explain(prog: str) -> None:
    print(f"usage: {prog} OPERATION NETWORK ... --outdir DIR\n")
    for name, command in OPERATIONS.items():
        doc = (command.__doc__ or "").strip().splitlines()[0]
        print(f"  {name:<12} {doc}")
    print(f"\n{prog} OPERATION --help shows its flags.")
