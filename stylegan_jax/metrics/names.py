"""Names of measures: kind and number of images, on which scores depend.

`fid50k` is the official protocol; `fid5k` takes 5,000 images; `fid` as many as the data
has, at most 50,000, and is renamed after them.
"""

import dataclasses
import difflib
import re
from typing import NamedTuple

from stylegan_jax.errors import UserError


class Kind(NamedTuple):
    """A formula and its protocol."""

    official: int  # number of images; for path lengths, pairs of images
    said: bool  # the official name includes the number
    scores: dict[str, bool]  # suffixes of scores that rank generators: is larger better
    # Images of the data needed by measures that compare; their bare name takes the
    # number of images from the data.
    fewest: int | None = None


PATHS = ("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend")
KINDS = {
    "fid": Kind(50_000, True, {"": False}, 2),
    "kid": Kind(50_000, True, {"": False}, 2),
    "pr": Kind(50_000, True, {"_precision": True, "_recall": True}, 4),
    "is": Kind(50_000, True, {"_mean": True}),
    **dict.fromkeys(PATHS, Kind(100_000, False, {"": False})),
    "ls": Kind(200_000, False, {"_z": False, "_w": False}),
}
_FEWEST = 10  # images for a meaningful score


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measure of `KINDS` on `count` images or pairs; None: as many as `on` gives."""

    kind: str
    count: int | None

    def on(self, images: int) -> "Measure":
        """The measure with its number, for data of so many images."""
        if self.count is not None:
            return self
        return Measure(self.kind, min(images, KINDS[self.kind].official))

    @property
    def compares(self) -> bool:
        """Whether images of the data are used."""
        return KINDS[self.kind].fewest is not None

    @property
    def name(self) -> str:
        """`fid50k`, `fid300`; `ppl_wend`, or `ppl_wend5k` if not official."""
        return f"{self.kind}{self._number}"

    def name_on(self, features: str | None) -> str:
        """Name on the user's features; None are the usual ones.

        `fd50k[NAME]` and `kd50k[NAME]`, since FID and KID are those of Inception;
        `pr50k[NAME]`, `ppl_wend[NAME]`.
        """
        if features is None or self.kind == "ls":  # which takes no features
            return self.name
        kind = {"fid": "fd", "kid": "kd"}.get(self.kind, self.kind)
        return f"{kind}{self._number}[{features}]"

    @property
    def _number(self) -> str:
        kind = KINDS[self.kind]
        if self.count is None or (self.count == kind.official and not kind.said):
            return ""
        thousands = self.count >= 1000 and self.count % 100 == 0
        return f"{self.count / 1000:g}k" if thousands else f"{self.count}"


def parse_measures(text: str) -> tuple[Measure, ...]:
    """Parses `fid,fid50k,ppl_wend` without repetitions; UserError if unknown."""
    measures = [_parse(part.strip()) for part in text.split(",")]
    return tuple(dict.fromkeys(measures))


def _parse(name: str) -> Measure:
    match = re.fullmatch(r"([a-z_]+?)(?:(\d{1,9}(?:\.\d{1,9})?)(k?))?", name)
    if match is None or match[1] not in KINDS:
        known = [Measure(k, kind.official).name for k, kind in KINDS.items()]
        close = difflib.get_close_matches(name, known, 2, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(
            f"no measure {name!r}; {hint}known: {', '.join(known)}; other numbers of "
            "images are named likewise, such as fid5k and fid300, and fid alone takes "
            "as many as the data has"
        )
    kind, number, thousands = match.groups()
    if number is None:
        measure = Measure(kind, None)
        return measure if measure.compares else measure.on(KINDS[kind].official)
    count = float(number) * (1000 if thousands else 1)
    if count < _FEWEST or (not thousands and "." in number):
        hint = "" if thousands else f", or {name}k"
        raise UserError(
            f"{name} would take {count:g} images; take {_FEWEST} or more{hint}"
        )
    return Measure(kind, round(count))
