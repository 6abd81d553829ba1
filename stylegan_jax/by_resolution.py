"""Tables of values by resolution, for progressive growing."""

from __future__ import annotations

import dataclasses
import re
from typing import Generic, TypeVar

from stylegan_jax.errors import UserError

Number = TypeVar("Number", int, float)


@dataclasses.dataclass(frozen=True)
class ByResolution(Generic[Number]):
    """One number per resolution: a default and exceptions, pairs (pixels, value).

    `ByResolution(32, ((4, 512), (8, 256)))` is 512 at 4 px, 256 at 8 px and 32 at
    every other resolution; as text `32,4:512,8:256`. UserError for a resolution that is
    repeated or no power of two, and for a value that is no number.
    """

    default: Number
    exceptions: tuple[tuple[int, Number], ...] = ()

    def __post_init__(self) -> None:
        pairs = tuple(sorted(self.exceptions))
        object.__setattr__(self, "exceptions", pairs)
        sizes = [size for size, _ in pairs]
        for size in sizes:
            if size < 1 or size & (size - 1) or sizes.count(size) > 1:
                raise UserError(
                    f"resolution {size} is not a power of two (4, 8, 16, ...), or "
                    "listed more than once"
                )
        for value in self.values():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"value {value!r} is not a number")

    def at(self, resolution: int) -> Number:
        """The value at `resolution` (pixels)."""
        return dict(self.exceptions).get(resolution, self.default)

    def values(self) -> tuple[Number, ...]:
        """The default and all exceptions, for checks such as "all positive"."""
        return (self.default, *(value for _, value in self.exceptions))

    def __str__(self) -> str:
        """Text for `parse_by_resolution`."""
        pairs = [f"{resolution}:{value!r}" for resolution, value in self.exceptions]
        return ",".join([repr(self.default), *pairs])


def take_plain_values(config: object) -> None:
    """Converts numbers and texts in table fields to tables; for `__post_init__`.

    Table fields have a `ByResolution` as default: `ScheduleConfig(batch_size=8)` is
    `ScheduleConfig(batch_size=ByResolution(8))`. UserError for other values.
    """
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(field.default, ByResolution):
            if not isinstance(value, ByResolution):
                number = type(field.default.default)
                value = parse_by_resolution(str(value), number)
            object.__setattr__(config, field.name, value)


def parse_by_resolution(
    text: str, number: type[int] | type[float] | None = None
) -> ByResolution:
    """Parses `32,4:512,8:256`: a bare default and `resolution:value` exceptions.

    Without `number` it takes int if every value is one, else float. UserError for an
    unreadable part, or not exactly one default.
    """
    parts = [part.strip().rpartition(":") for part in text.split(",") if part.strip()]
    defaults = [value for _, colon, value in parts if not colon]
    if len(defaults) != 1:
        raise UserError(
            f"{text!r} has {len(defaults)} bare numbers; exactly one is needed, the"
            " value at every resolution that is not listed, such as 32,4:512,8:256"
        )
    if number is None:
        whole = all(re.fullmatch(r"\s*[+-]?\d+", value) for *_, value in parts)
        number = int if whole else float
    try:
        pairs = tuple((int(size), number(x)) for size, colon, x in parts if colon)
        return ByResolution(number(defaults[0]), pairs)
    except UserError:
        raise
    except ValueError:
        raise UserError(
            f"{text!r} is not a default and pairs resolution:value, such as 32,8:256, "
            f"or holds a value that is not {number.__name__}"
        ) from None
