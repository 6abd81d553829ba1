"""Names of measures: what is measured, and on how many images.

`fid50k` is the official protocol; `fid5k` is the same on 5,000 images, and is called
so because the score depends on the number.
"""

import dataclasses
import difflib
import re

from stylegan_jax.common.errors import UserError

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


@dataclasses.dataclass(frozen=True)
class Measure:
    """A kind of measure on a number of images.

    Attributes:
        kind: one of `KINDS`.
        count: images, or pairs of images.
    """

    kind: str
    count: int

    @property
    def name(self) -> str:
        """`fid50k`, `ppl_wend`, or `ppl_wend5k` where the number is not official."""
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
        if self.count == official and not said:
            return ""
        return f"{self.count / 1000:g}k"


def parse_measures(text: str) -> tuple[Measure, ...]:
    """Reads `fid50k,ppl_wend`: names of measures, each once.

    Raises:
        UserError: an unknown name, with the closest known ones.
    """
    measures = [_parse(part.strip()) for part in text.split(",")]
    return tuple(dict.fromkeys(measures))


def _parse(name: str) -> Measure:
    match = re.fullmatch(r"([a-z_]+?)(?:(\d+(?:\.\d+)?)k)?", name)
    kind = match[1] if match else ""
    official, said = KINDS.get(kind, (0, False))
    if match is None or not official or (said and match[2] is None):
        known = [f"{k}{n // 1000}k" if said else k for k, (n, said) in KINDS.items()]
        close = difflib.get_close_matches(name, known, 2, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(
            f"no measure {name!r}; {hint}known: {', '.join(known)}; other numbers of "
            "images are named likewise, such as fid5k"
        )
    count = official if match[2] is None else round(float(match[2]) * 1000)
    if count < 10:
        raise UserError(f"{name} would take {count} images; take more")
    return Measure(kind, count)
