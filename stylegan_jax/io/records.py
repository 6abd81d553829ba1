"""JSON records and logs of JSON lines, read within bounds and against a shape.

A shape is a type (`float` takes whole numbers too), a tuple of types, `[shape]` for a
list, `{"key": shape}` for an object with at least these keys, `{...: shape}` for one
with any keys, or `object` for anything.
"""

import contextlib
import dataclasses
import enum
import functools
import io
import itertools
import json
import logging
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.errors import UserError

MAX_BYTES = 1 << 24  # of a record
_MAX_LOG_BYTES = 1 << 27
_MAX_LINES = 1 << 20
_MAX_LINE = 1 << 20  # characters
_MAX_DEPTH = 32
_NAMED_LINES = 5  # of the damaged ones, in a warning
_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
_NAMES |= {int: "a whole number", float: "a number", type(None): "null"}
_NO_NAME = re.compile("[\0\ud800-\udfff]")  # no file has such a name
_log = logging.getLogger(__name__)


class DamagedRecordError(UserError):
    """A record with unexpected content; the message gives the remedy."""


class Line(NamedTuple):
    """A line of a log: number from 1, text with its newline, value, None if damaged."""

    number: int
    text: str
    value: dict[str, Any] | None


def open_file(path: str | os.PathLike[str], inside: Path | None = None) -> BinaryIO:
    """Opens a regular file; UserError for a device or FIFO, which may block.

    With `inside`, links must not lead out of that folder.
    """
    if inside is not None:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(inside)):
            raise UserError("a link to another place; put the file itself there")
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise UserError(f"{kind}, not a file")
    return open(path, "rb")


def read_bytes(
    path: str | os.PathLike[str], max_bytes: int, inside: Path | None = None
) -> bytes:
    """The content of a regular file, as `open_file`, of at most `max_bytes`."""
    with open_file(path, inside) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UserError(f"over {max_bytes >> 20} MB")
    return data


def read(path: Path, shape: Any, *, way_on: str, inside: Path | None = None) -> Any:
    """The value of a JSON file in UTF-8, UTF-16 or UTF-32, checked against `shape`.

    Raises FileNotFoundError, or DamagedRecordError with the remedy `way_on`.
    """
    try:
        return _parsed(read_bytes(path, MAX_BYTES, inside), shape)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DamagedRecordError(f"{path} is damaged ({reason}); {way_on}") from error


def read_json(source: str | os.PathLike[str] | bytes) -> Any:
    """Any JSON, from a file or its bytes, as `parse`."""
    return parse(source if isinstance(source, bytes) else read_bytes(source, MAX_BYTES))


def read_log(path: Path, shape: Any, *, inside: Path | None = None) -> Iterator[Any]:
    """The values of a log's lines, none without a file; warns of damaged ones."""
    if not os.path.lexists(path):
        return
    damaged = []
    for line in log_lines(path, shape, inside=inside):
        if line.value is None:
            damaged.append(line.number)
        else:
            yield line.value
    warn_of_damage(path, tuple(damaged))


def log_lines(path: Path, shape: Any, *, inside: Path | None = None) -> Iterator[Line]:
    """Every line of a log, damaged ones too; bytes that are not UTF-8 as surrogates.

    DamagedRecordError if it is no regular file, or too long.
    """
    try:
        with open_file(path, inside) as file:
            if os.fstat(file.fileno()).st_size > _MAX_LOG_BYTES:
                raise UserError(f"over {_MAX_LOG_BYTES >> 20} MB")
            encoding, errors = "utf-8-sig", "surrogateescape"
            with io.TextIOWrapper(file, encoding, errors, newline="\n") as stream:
                lines = iter(functools.partial(stream.readline, _MAX_LINE), "")
                for number, text in enumerate(lines, 1):
                    if number > _MAX_LINES:
                        raise UserError(f"over {_MAX_LINES} lines")
                    value = None
                    with contextlib.suppress(ValueError):
                        value = _parsed(text, shape)
                    yield Line(number, text, value)
    except (OSError, ValueError) as error:
        raise DamagedRecordError(
            f"{path} is no log ({error}); move it away to go on without it"
        ) from error


@functools.lru_cache  # once for each damage: a log is read for every score
def warn_of_damage(path: Path, numbers: tuple[int, ...]) -> None:
    """Warns of damaged lines of a log, if there are any."""
    if numbers:
        shown = ", ".join(map(str, numbers[:_NAMED_LINES]))
        more = len(numbers) - _NAMED_LINES
        others = f" and {more} more" if more > 0 else ""
        _log.warning("%s: damaged and left out: line %s%s", path, shown, others)


def set_aside(path: Path) -> Path:
    """Renames a damaged file to a free name beside it, which is returned."""
    for i in itertools.count(1):
        target = path.with_name(f"{path.stem}.damaged{i}{path.suffix}")
        if not os.path.lexists(target):
            path.rename(target)
            return target
    raise AssertionError


def add_line(path: Path, value: dict[str, Any]) -> None:
    """Appends a line to a log, after a newline if the last was cut short."""
    with open(path, "ab+") as file:
        file.seek(max(file.tell() - 1, 0))
        whole = file.read(1) in (b"", b"\n")
        file.write(b"\n" * (not whole) + json.dumps(value).encode() + b"\n")


# --- JSON --------------------------------------------------------------------------


def _parsed(source: bytes | str, shape: Any) -> Any:
    value = parse(source)
    check(value, shape)
    _check_texts_and_depth(value, 0)
    return value


def parse(source: bytes | str) -> Any:
    """A JSON value with finite numbers and every key once; else UserError."""
    if not source.strip():
        raise UserError("it is empty")
    try:
        return json.loads(
            source,
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_float=_number,
            parse_int=_number,
        )
    except UnicodeError:
        raise UserError("it is not text in UTF-8") from None
    except RecursionError:
        raise UserError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise UserError("a key that is there twice")
    return found


def _number(text: str) -> float:
    value = float(text)
    whole = text.lstrip("-").isdigit()
    if not math.isfinite(value) or (whole and abs(value) >= 1 << 64):
        raise UserError(f"the number {text[:20]}, infinite or of over 64 bits")
    return int(text) if whole else value


def _check_texts_and_depth(value: Any, depth: int) -> None:
    if depth == _MAX_DEPTH:
        raise UserError("nested too deeply")
    if isinstance(value, dict | list):
        for each in value:
            _check_texts_and_depth(each, depth + 1)
    if isinstance(value, dict):
        for each in value.values():
            _check_texts_and_depth(each, depth + 1)
    elif isinstance(value, str) and _NO_NAME.search(value):
        raise UserError("a text with a zero byte, or that is not Unicode")


def check(value: Any, shape: Any, name: str = "it") -> None:
    """Raises UserError unless a JSON value has the shape."""
    if isinstance(shape, dict):
        _check_type(value, (dict,), name)
        for key, child in shape.items():
            if key is ...:
                for own, each in value.items():
                    check(each, child, ascii(own)[:60])
            elif key not in value:
                raise UserError(f"it has no {key}")
            else:
                check(value[key], child, key)
    elif isinstance(shape, list):
        _check_type(value, (list,), name)
        for each in value:
            check(each, shape[0], f"an entry of {name}")
    elif shape is not object:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        _check_type(value, (*kinds, int) if float in kinds else kinds, name)


def _check_type(value: Any, kinds: tuple[type, ...], name: str) -> None:
    if type(value) not in kinds:
        raise UserError(f"{name} is {_NAMES.get(type(value), 'something else')}")


# --- Configurations ------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """Plain JSON data of a configuration: dataclasses become dicts, in field order.

    Tables by resolution and paths become text, tuples lists, enumeration members
    their names, infinities and NaN text (JSON has none); others are TypeErrors.
    """
    if isinstance(value, ByResolution | Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: to_json(getattr(value, f.name)) for f in fields}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): to_json(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be written as JSON")


def flatten(config: Any) -> dict[str, Any]:
    """The configuration's leaves by dotted name, such as `schedule.total_kimg`."""
    return dict(_leaves("", to_json(config)))


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else key, child)
    else:
        yield prefix, value
