"""Flags made from dataclasses, and settings in messages as flags.

    python -m stylegan_jax.train configs/ffhq1024.py --workdir runs/ffhq \
        --schedule.total-kimg 1000 --schedule.batch-size 32,4:512,8:256

Every field of the recipe's configuration is a tyro flag that defaults to the recipe's
value; `--section.field-name` and `--section.field_name` are the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import math
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TextIO, TypeVar

import tyro

from stylegan_jax.by_resolution import ByResolution, parse_by_resolution
from stylegan_jax.commands import foreign_flags, recipe_files
from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.io import terminal

Args = TypeVar("Args")

# A setting in a message of the library, and flags that are not called after it.
_SETTING = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
_FLAG_OF = {"class_index": "class", "from_file": "from"}


def parse(
    entry: type[Args],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str | None = None,
    **defaults: Any,
) -> Args:
    """Parses the flags of an entry point without a recipe.

    Args:
        entry: a dataclass; its fields are the flags.
        prog: the program in usage messages, such as `python -m stylegan_jax.sample`.
        description: by default the docstring of `entry`.
        defaults: of fields, in place of the class's.

    Raises:
        SystemExit: 0 after `--help`, 2 after an explained mistake.
        UserError: a `seed` that NumPy does not take.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    default = None
    if defaults:
        required = {
            field.name: tyro.MISSING
            for field in dataclasses.fields(typing.cast(Any, entry))
            if field.default is field.default_factory is dataclasses.MISSING
        }
        default = entry(**(required | defaults))
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_by_resolution_rule)
    registry.primitive_rule(_float_rule)
    read = functools.partial(
        tyro.cli,
        entry,
        prog=prog,
        description=_description(entry) if description is None else description,
        default=default,
        registry=registry,
        config=(tyro.conf.AvoidSubcommands,),
    )
    try:
        with terminal.obeyed():
            args = typing.cast(Args, read(args=words))
    except SystemExit as left:
        if left.code:
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
                read(args=["--help"])
            foreign_flags.explain(words, shown.getvalue())
        raise
    seed = getattr(args, "seed", 0)
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed} is not from 0 to {2**32 - 1}")
    return args


def parse_chosen(
    entries: Mapping[str, type[Args]],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    kind: str,
) -> tuple[str, Args] | None:
    """Parses a name and the flags of its entry; lists the names for `--help`.

    `kind` is what the names are of, such as "operation". None after the list.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: {prog} {kind.upper()} NETWORK ... --outdir DIR\n")
        for name, entry in entries.items():
            print(f"  {name:<20} {_description(entry).splitlines()[0]}")
        print(f"\n{prog} {kind.upper()} --help shows its flags.")
        return None
    name = words[0]
    if name not in entries:
        hint = did_you_mean(name, entries) or f"they are {', '.join(entries)}"
        raise UserError(f"no {kind} {name!r}; {hint}")
    return name, parse(entries[name], words[1:], prog=f"{prog} {name}")


def parse_recipe(
    entry: type[Args],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    adapt: Callable[[Any, Sequence[str]], Any] | None = None,
) -> tuple[Any, Args]:
    """Parses a recipe with flags that override it; returns configuration and own flags.

    `entry` has the flags outside the configuration; `adapt` changes the recipe's
    configuration, given the words after it, before flags override it.

    Raises:
        UserError: the recipe is missing or does not give a configuration.
        SystemExit: as `parse`.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in ("-h", "--help"):
        recipes = (
            ", ".join(sorted(recipe_files.all_recipes())) or "none found in configs/"
        )
        description = (
            f"{_description(entry)}\n\nA recipe comes first: a Python file with"
            f" get_config(), which is executed. By name: {recipes}. Give a recipe and"
            " --help to see every field of its configuration."
        )
        parse(entry, ["--help"], prog=f"{prog} RECIPE", description=description)
    if not words or words[0].startswith("-"):
        raise UserError(
            f"the recipe comes first: {prog} RECIPE [flags], such as"
            f" {prog} configs/quickstart.py --workdir runs/quickstart"
        )
    default = recipe_files.load_recipe(*recipe_files.find_recipe(words[0]))
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
    prog, description = f"{prog} {words[0]}", _description(entry)
    parsed = parse(both, words[1:], prog=prog, description=description)
    return parsed.config, parsed.entry


def is_given(flag: str, argv: Sequence[str] | None = None) -> bool:
    """Whether a flag such as `data.name` is among the words, in any spelling."""
    words = sys.argv[1:] if argv is None else argv
    return value_of("--" + flag.replace("_", "-"), words) is not None


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """A flag's value on an unparsed command line."""
    value = None
    for word, following in itertools.pairwise([*words, ""]):
        name, equals, rest = word.partition("=")
        if name.replace("_", "-") == flag:
            value = rest if equals else following
    return value


def as_flags(text: str) -> str:
    """A message with the library's settings as flags.

    The library names arguments and fields in backticks, with or without a value:
    `schedule.total_kimg` becomes `--schedule.total-kimg`, and `align=False`
    `--no-align`.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2] or ""
        name = _FLAG_OF.get(name, name).replace("_", "-")
        if value == "True":
            return f"--{name}"
        if value == "False":
            section, dot, field = name.rpartition(".")
            return f"--{section}{dot}no-{field}"
        return f"--{name} {value}".rstrip()

    return _SETTING.sub(flag, text)


def say(message: object, file: TextIO | None = None) -> None:
    """Prints a message of the library with settings as flags, as by `as_flags`."""
    print(as_flags(str(message)), file=file, flush=True)


def entry(main: Callable[..., None]) -> Callable[..., None]:
    """Wraps a command's `main`: its errors name flags, as by `as_flags`."""

    @functools.wraps(main)
    def called(*args: Any, **options: Any) -> None:
        try:
            main(*args, **options)
        except UserError as error:
            error.args = (as_flags(str(error)),)
            raise

    return called


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


def _float_rule(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[float] | None:
    """Finite numbers: NaN passes most comparisons with a bound."""
    if info.type is not float:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=lambda words: _number(words[0]),
        is_instance=lambda value: isinstance(value, int | float),
        str_from_instance=lambda value: [str(value)],
    )


def _number(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise UserError(f"{word} is not a finite number")
    return number


def _description(entry: type) -> str:
    doc = inspect.getdoc(entry) or ""
    generated = doc.startswith(f"{entry.__name__}(")  # dataclasses write the signature
    return "" if generated else doc
