"""Tables of values by resolution, for progressive growing."""

from __future__ import annotations

import dataclasses
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
        pairs = tuple(sorted((r, value) for r, value in self.exceptions))
        object.__setattr__(self, "exceptions", pairs)
        resolutions = [resolution for resolution, _ in pairs]
        for resolution in resolutions:
            if resolution < 1 or resolution & (resolution - 1):
                raise UserError(
                    f"resolution {resolution} is not a power of two; use 4, 8, 16, ..."
                )
            if resolutions.count(resolution) > 1:
                raise UserError(f"resolution {resolution} is listed more than once")
        for value in (self.default, *(value for _, value in pairs)):
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
    defaults: list[str] = []
    pairs: list[tuple[int, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        resolution, colon, value = part.rpartition(":")
        if not colon:
            defaults.append(value)
            continue
        try:
            pairs.append((int(resolution), value.strip()))
        except ValueError:
            raise UserError(
                f"{part!r} in {text!r} is not resolution:value, such as 8:256"
            ) from None
    if len(defaults) != 1:
        raise UserError(
            f"{text!r} has {len(defaults)} bare numbers; exactly one is needed, the"
            " value at every resolution that is not listed, such as 32,4:512,8:256"
        )
    texts = [*defaults, *(value for _, value in pairs)]
    if number is None:
        number = int if all(map(_is_int, texts)) else float
    try:
        default, *values = [number(value) for value in texts]
    except ValueError:
        raise UserError(
            f"{text!r} holds a value that is not {number.__name__}"
        ) from None
    resolutions = [resolution for resolution, _ in pairs]
    return ByResolution(default, tuple(zip(resolutions, values, strict=True)))


def _is_int(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True
