"""The command line: recipes, flags made from dataclasses, errors in one line.

    python -m stylegan_jax.train configs/ffhq1024.py --workdir runs/ffhq \
        --schedule.total-kimg 1000 --schedule.batch-size 32,4:512,8:256

A recipe is a Python file with `get_config()`, and is executed. One that has variants
takes the name of one after a colon, `configs/ffhq1024.py:b`. tyro turns every field
of the configuration it returns into a flag whose default is the recipe's value;
`--section.field-name` and `--section.field_name` are the same. This module knows
no particular configuration, and is the only reader of `sys.argv`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import io
import itertools
import logging
import os
import re
import sys
import threading
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import tyro

from stylegan_jax.by_resolution import ByResolution, parse_by_resolution
from stylegan_jax.commands import foreign_flags
from stylegan_jax.errors import AgreedError, UserError, did_you_mean
from stylegan_jax.io import disk, terminal

Args = TypeVar("Args")

# A network as text: a `Path` would not tell `./portraits`, which is here, from
# `portraits`, which is the name of one.
Network = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]

TRACEBACK_VARIABLE = "STYLEGAN_JAX_TRACEBACK"
# A setting in a message of the library, and flags that are not called after it.
_SETTING = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
_FLAG_OF = {"class_index": "class", "from_file": "from"}
_PACKAGE = Path(__file__).resolve().parents[1]
_BUG = "This is a bug in stylegan_jax: report it with the lines above and the command."
_USERS_MISTAKES = (
    UserError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def parse(entry: type[Args], argv: Sequence[str] | None = None, *, prog: str) -> Args:
    """Reads the flags of an entry point that takes no recipe.

    Args:
        entry: a dataclass; its fields are the flags, its docstring the description.
        argv: the words after the program's name; None takes `sys.argv`.
        prog: how the program is called, such as `python -m stylegan_jax.sample`.

    Raises:
        SystemExit: 0 after `--help`, 2 after an explained mistake.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    return _tyro(entry, words, prog=prog, description=_description(entry))


def with_defaults(entry: type[Args], defaults: Mapping[str, Any]) -> type[Args]:
    """An entry point's flags with other defaults for some, for `parse`.

    Args:
        entry: a frozen dataclass whose fields are given by keyword only.
        defaults: by the names of fields.
    """
    if not defaults:
        return entry
    fields = [
        (name, type(value), dataclasses.field(default=value))
        for name, value in defaults.items()
    ]
    derived = dataclasses.make_dataclass(
        entry.__name__, fields, bases=(entry,), frozen=True, kw_only=True
    )
    derived.__doc__ = entry.__doc__
    return derived


def parse_recipe(
    entry: type[Args],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    adapt: Callable[[Any, Sequence[str]], Any] | None = None,
) -> tuple[Any, Args]:
    """Reads a recipe, the flags that override it, and the entry point's own flags.

    Args:
        entry: a dataclass of the flags that do not belong to the configuration.
        argv: the recipe, then flags; None takes `sys.argv`.
        prog: how the program is called, such as `python -m stylegan_jax.train`.
        adapt: changes what the recipe gives, knowing the words after it, before flags
            override that.

    Returns:
        The configuration, of whatever class the recipe made, and the entry's flags.

    Raises:
        UserError: the recipe is missing or does not give a configuration.
        SystemExit: 0 after `--help`, 2 after an explained mistake in the flags.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in ("-h", "--help"):
        recipes = ", ".join(sorted(_recipes())) or "none found in configs/"
        description = (
            f"{_description(entry)}\n\nA recipe comes first: a Python file with"
            f" get_config(), which is executed. By name: {recipes}. Give a recipe and"
            " --help to see every field of its configuration."
        )
        _tyro(entry, ["--help"], prog=f"{prog} RECIPE", description=description)
    if not words or words[0].startswith("-"):
        raise UserError(
            f"the recipe comes first: {prog} RECIPE [flags], such as"
            f" {prog} configs/quickstart.py --workdir runs/quickstart"
        )
    default = load_recipe(*find_recipe(words[0]))
    if adapt is not None:
        default = adapt(default, words[1:])
    both = dataclasses.make_dataclass(
        "RecipeAndFlags",
        [
            ("entry", Annotated[entry, tyro.conf.arg(name="")]),
            (
                "config",
                Annotated[type(default), tyro.conf.arg(name="")],
                dataclasses.field(default=default),
            ),
        ],
        frozen=True,
    )
    parsed = _tyro(
        both,
        words[1:],
        prog=f"{prog} {words[0]}",
        description=_description(entry),
    )
    return parsed.config, parsed.entry


def is_given(flag: str, argv: Sequence[str] | None = None) -> bool:
    """Whether a flag such as `data.name` is among the words, in any spelling."""
    words = sys.argv[1:] if argv is None else argv
    flags = (word.partition("=")[0] for word in words)
    return any(x.replace("-", "_") == f"__{flag}".replace("-", "_") for x in flags)


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """The value that a flag has on a command line, before that is parsed."""
    value = None
    for word, following in itertools.pairwise([*words, ""]):
        name, equals, rest = word.partition("=")
        if name.replace("_", "-") == flag:
            value = rest if equals else following
    return value


def find_recipe(name: str) -> tuple[Path, str | None]:
    """The recipe's file, and the variant named after a colon.

    The file is a path, or a bare name in `configs/`, which is looked up in the
    working directory, then beside the package.

    Raises:
        UserError: there is none; names the closest ones.
    """
    path, variant = Path(name), None
    if not path.is_file() and ":" in name:
        name, _, variant = name.rpartition(":")
        path = Path(name)
    recipes = _recipes()
    if name in recipes:  # whatever else has this name: recipes are called *.py
        return recipes[name], variant
    if path.is_file():
        return path, variant
    if path.stem in recipes and len(path.parts) == 1:
        return recipes[path.stem], variant
    hint = did_you_mean(path.stem, recipes) or "give a Python file"
    raise UserError(f"no recipe {name}; {hint}")


def load_recipe(path: Path, variant: str | None = None) -> Any:
    """Executes a recipe and returns what its `get_config()` returns.

    Args:
        path: the recipe.
        variant: what to give to `get_config`; None lets it choose.

    Raises:
        UserError: it fails, has no `get_config`, no variants, or does not return a
            dataclass; names the recipe and the line.
    """
    name = f"stylegan_jax_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"recipe {path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and tyro look their classes' module up
    try:
        spec.loader.exec_module(module)
        get_config = getattr(module, "get_config", None)
        several = get_config and inspect.signature(get_config).parameters
        words = () if variant is None else (variant,)
        config = get_config(*words) if get_config and (several or not words) else None
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        raise UserError(
            f"recipe {path}{_line_in(path, error)}: {kind}{error}"
        ) from error
    if get_config is None:
        raise UserError(
            f"recipe {path} has no function get_config(); it must define one that"
            " returns the configuration"
        )
    if words and not several:
        raise UserError(f"recipe {path} has no variants; leave :{variant} out")
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise UserError(
            f"get_config() of recipe {path} returned {type(config).__name__}, not a"
            " configuration (a dataclass)"
        )
    return config


def as_flags(text: str) -> str:
    """A message with the library's settings as flags.

    The library knows no flags and names its arguments and fields in backticks, with or
    without a value: `schedule.total_kimg` is `--schedule.total-kimg` here, and
    `align=False` is `--no-align`.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2] or ""
        name = _FLAG_OF.get(name, name).replace("_", "-")
        if value in ("True", "False"):
            return f"--{name}" if value == "True" else f"--no-{name}"
        return f"--{name} {value}".rstrip()

    return _SETTING.sub(flag, text)


def entry(main: Callable[..., None]) -> Callable[..., None]:
    """Makes a command's `main` raise errors that name flags, as `as_flags` has them."""

    @functools.wraps(main)
    def called(*args: Any, **options: Any) -> None:
        try:
            main(*args, **options)
        except UserError as error:
            error.args = (as_flags(str(error)),)
            raise

    return called


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return as_flags(super().format(record))


def run_main(main: Callable[[], object]) -> NoReturn:
    """Runs an entry point; the user's mistakes become one line, not a traceback.

    Printed short, with exit status 2: `UserError`, files that are missing or not
    allowed, and a full disk. Everything else is a bug, keeps its traceback and has a
    line that says so. With STYLEGAN_JAX_TRACEBACK in the environment mistakes show
    theirs too. What is printed cannot steer the terminal.
    """
    with terminal.only_shown():
        _run_main(main)


def _run_main(main: Callable[[], object]) -> NoReturn:
    _warn_on_stderr()
    try:
        main()
    except BrokenPipeError:
        # Of `... | head`: nobody reads on, and Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _leave(130)
    except Exception as error:
        trouble = disk.trouble(error)
        expected = isinstance(error, _USERS_MISTAKES)
        if isinstance(error, OSError) and trouble:
            place = f" ({error.filename})" if error.filename else ""
            error = UserError(
                f"{trouble}{place}; mend that or name another place, and give the same "
                "command again"
            )
            expected = True
        if os.environ.get(TRACEBACK_VARIABLE) or not expected:
            traceback.print_exc()
            if not expected:
                print(_BUG, file=sys.stderr)
            _leave(2 if expected else 1)
        print(f"error: {error}", file=sys.stderr)
        if not isinstance(error, UserError):
            print(f"  ({TRACEBACK_VARIABLE}=1 shows more)", file=sys.stderr)
        _leave(2, together=isinstance(error, AgreedError))
    _leave(0)


def _warn_on_stderr() -> None:
    # This handler looks sys.stderr up at every line, so warnings appear above a live
    # display; the one that libraries would install keeps the stream of its birth.
    handler = logging.lastResort
    if handler is not None and not logging.getLogger().handlers:
        handler.setFormatter(_Formatter("%(levelname)s: %(message)s"))
        logging.getLogger().addHandler(handler)


def _leave(status: int, *, together: bool = False) -> NoReturn:
    jax = sys.modules.get("jax")
    joined = jax is not None and jax.distributed.is_initialized()
    # A normal exit would wait for the other processes, and they for us ...
    alone = joined and status and not together
    # ... or for a step that compiles for nothing (training/compiling.py).
    compiling = any(x.name == "compile" for x in threading.enumerate())
    if not alone and not compiling:
        sys.exit(status)
    if jax is not None and joined and not alone:
        jax.distributed.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _tyro(
    cls: type[Args], words: Sequence[str], *, prog: str, description: str
) -> Args:
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_by_resolution_rule)
    read = partial(
        tyro.cli,
        cls,
        prog=prog,
        description=description,
        registry=registry,
        config=(tyro.conf.AvoidSubcommands,),
    )
    try:
        with terminal.obeyed():
            return read(args=words)
    except SystemExit as left:
        if left.code:
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
                read(args=["--help"])
            foreign_flags.explain(words, shown.getvalue())
        raise


def _by_resolution_rule(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[ByResolution] | None:
    if ByResolution not in (info.type, info.type_origin):
        return None
    arguments = typing.get_args(info.type)
    number = arguments[0] if arguments and arguments[0] in (int, float) else None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="DEFAULT[,RESOLUTION:VALUE...]",
        instance_from_str=lambda words: parse_by_resolution(words[0], number),
        is_instance=lambda value: isinstance(value, ByResolution),
        str_from_instance=lambda value: [str(value)],
    )


def _description(entry: type) -> str:
    doc = inspect.getdoc(entry) or ""
    generated = doc.startswith(f"{entry.__name__}(")  # dataclasses write the signature
    return "" if generated else doc


def _recipes() -> dict[str, Path]:
    """Recipes by bare name; the working directory's come before the package's."""
    found: dict[str, Path] = {}
    for folder in (_PACKAGE.parent / "configs", Path("configs")):
        found.update({path.stem: path for path in folder.glob("[!_]*.py")})
    return found


def _line_in(path: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text has the line
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    return f", line {lines[-1]}" if lines else ""
