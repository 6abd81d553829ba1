"""Names of measures: what is measured, and on how many images.

`fid50k` is the official protocol; `fid5k` and `fid300` are the same on 5,000 and on 300
images, and are called so because the score depends on the number. `fid` takes as many
images as the data has, 50,000 at most, and is then called after their number.
"""

import dataclasses
import difflib
import re

from stylegan_jax.errors import UserError

# Kind: its official number of images (for path lengths, pairs of images), and whether
# the official name says it.
KINDS: dict[str, tuple[int, bool]] = {
    "fid": (50_000, True),
    "kid": (50_000, True),
    "pr": (50_000, True),
    "is": (50_000, True),
    "ppl_zfull": (100_000, False),
    "ppl_wfull": (100_000, False),
    "ppl_zend": (100_000, False),
    "ppl_wend": (100_000, False),
    "ls": (200_000, False),
}


# Those that compare with data, and the fewest images they can do with. Their bare names
# take the number of images from the data.
COMPARING = {"fid": 2, "kid": 2, "pr": 4}
_FEWEST = 10  # images; a score of fewer says nothing


@dataclasses.dataclass(frozen=True)
class Measure:
    """A kind of measure on a number of images.

    Attributes:
        kind: one of `KINDS`.
        count: images, or pairs of images; None: as many as there are (`on`).
    """

    kind: str
    count: int | None

    def on(self, images: int) -> "Measure":
        """The measure with its number, where the data has so many images."""
        if self.count is not None:
            return self
        return Measure(self.kind, min(images, KINDS[self.kind][0]))

    @property
    def name(self) -> str:
        """`fid50k`, `fid300`; `ppl_wend`, or `ppl_wend5k` where it is not official."""
        return f"{self.kind}{self._number}"

    def name_on(self, features: str | None) -> str:
        """Of the same measure on other features than it is defined by.

        `fd50k[NAME]` and `kd50k[NAME]`, since FID and KID are those of Inception;
        `pr50k[NAME]`, `ppl_wend[NAME]`. None are the right features.
        """
        if features is None or self.kind == "ls":  # which takes no features
            return self.name
        kind = {"fid": "fd", "kid": "kd"}.get(self.kind, self.kind)
        return f"{kind}{self._number}[{features}]"

    @property
    def _number(self) -> str:
        official, said = KINDS[self.kind]
        if self.count is None or (self.count == official and not said):
            return ""
        thousands = self.count >= 1000 and self.count % 100 == 0
        return f"{self.count / 1000:g}k" if thousands else f"{self.count}"


def parse_measures(text: str) -> tuple[Measure, ...]:
    """Reads `fid,fid50k,ppl_wend`: names of measures, each once.

    Raises:
        UserError: an unknown name, with the closest known ones.
    """
    measures = [_parse(part.strip()) for part in text.split(",")]
    return tuple(dict.fromkeys(measures))


def _parse(name: str) -> Measure:
    match = re.fullmatch(r"([a-z_]+?)(?:(\d{1,9}(?:\.\d{1,9})?)(k?))?", name)
    if match is None or match[1] not in KINDS:
        known = [f"{k}{n // 1000}k" if said else k for k, (n, said) in KINDS.items()]
        close = difflib.get_close_matches(name, known, 2, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(
            f"no measure {name!r}; {hint}known: {', '.join(known)}; other numbers of "
            "images are named likewise, such as fid5k and fid300, and fid alone takes "
            "as many as the data has"
        )
    kind, number, thousands = match.groups()
    if number is None:
        return Measure(kind, None if kind in COMPARING else KINDS[kind][0])
    count = float(number) * (1000 if thousands else 1)
    if count < _FEWEST or (not thousands and "." in number):
        hint = "" if thousands else f", or {name}k"
        raise UserError(
            f"{name} would take {count:g} images; take {_FEWEST} or more{hint}"
        )
    return Measure(kind, round(count))
