"""Drawn portraits with known attributes, a data set without downloads.

A portrait is a pure function of `(seed, index)`, the same person at every resolution.
"""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.data.portraits.parts import paint_portrait
from stylegan_jax.data.portraits.people import (
    LABEL_SIZES,
    PortraitAttributes,
    attributes,
    label_class,
)
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.io.images import convert_channels

__all__ = ["PortraitAttributes", "Portraits", "attributes", "draw"]

RESOLUTIONS = tuple(2**k for k in range(2, 11))
# Version of the drawing in fingerprints: change it with any pixel or attribute (a test
# compares their digest).
DRAWING = "9060305c3ac402e5073d1d09309afcb02e0d44de33a762b2876e6011197fd280"
_DRAWN_FROM = 64  # smaller pictures are box means of this one


def draw(
    attributes: PortraitAttributes, *, resolution: int, detail_seed: int
) -> np.ndarray:
    """Portrait as uint8 RGB `[R, R, 3]`; below 64 px, the box mean of the one at 64.

    `detail_seed` draws hair strands, freckles and skin texture. Raises UserError unless
    the resolution is a power of two from 4 to 1024.
    """
    if resolution not in RESOLUTIONS:
        raise UserError(
            f"resolution {resolution} is not a power of two from {RESOLUTIONS[0]} to "
            f"{RESOLUTIONS[-1]}"
        )
    resolution = int(resolution)
    drawn_at = max(resolution, _DRAWN_FROM)
    # The spawn key separates this stream from that of attributes.
    stream = np.random.SeedSequence(detail_seed, spawn_key=(1,))
    planes = paint_portrait(attributes, drawn_at, np.random.default_rng(stream))
    planes *= 255
    planes += 0.5
    np.clip(planes, 0, 255, out=planes)
    image = np.ascontiguousarray(planes.astype(np.uint8).transpose(1, 2, 0))
    if resolution < drawn_at:
        k = drawn_at // resolution
        cells = image.reshape(resolution, k, resolution, k, 3)
        total = cells.sum(axis=(1, 3), dtype=np.uint32)
        image = ((total + k * k // 2) // (k * k)).astype(np.uint8)
    return image


class Portraits(Source):
    """The built-in portraits: `size` drawn people, made on request and by index."""

    name = "portraits"

    def __init__(
        self, size: int, seed: int = 0, label: str | None = None, num_channels: int = 3
    ) -> None:
        """Declares `size` people, for one-hot labels by `label`.

        Labels: "eyeglasses" (without, with), "pose" (left, right), "smile" (no, yes),
        "age" (below, from 0.5), "gender" (feminine, masculine), "hair_style"
        (`HAIR_STYLES`). Raises UserError for others, or a size that is not positive.
        """
        if size < 1 or seed < 0:
            raise UserError(
                f"size is {size} and seed {seed}; portraits need 1 or more, from seed 0"
            )
        if label is not None and label not in LABEL_SIZES:
            raise UserError(
                f"portraits have no label {label!r}; choose one of "
                f"{', '.join(sorted(LABEL_SIZES))}"
            )
        self._size, self._seed, self._label = size, seed, label
        self.num_channels = num_channels
        self.label_size = LABEL_SIZES[label] if label else 0
        numbers = tuple(map(str, range(self.label_size)))
        self.label_names = ("left", "right") if label == "pose" else numbers

    def __len__(self) -> int:
        return self._size

    def attributes(self, index: int) -> PortraitAttributes:
        """Attributes of the person at `index`."""
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is outside 0..{self._size - 1}")
        return attributes(int(index), seed=self._seed)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """Portrait, uint8 `[R, R, num_channels]`."""
        person = self.attributes(index)
        detail_seed = (self._seed << 64) + int(index)
        image = draw(person, resolution=resolution, detail_seed=detail_seed)
        return convert_channels(image, self.num_channels)

    def label(self, index: int) -> np.ndarray:
        """Label, one-hot float32 `[label_size]`; `[0]` without labels."""
        if not self._label:
            return super().label(index)
        number = label_class(self.attributes(index), self._label)
        return np.eye(1, self.label_size, number, np.float32)[0]

    def fingerprint(self, indices: Sequence[int], resolution: int) -> str:
        """Digest of the set and of the drawing's version; see `Source`."""
        digest = f"portraits {self._size} {self._seed} drawn by {DRAWING}"
        if self.num_channels == 3:
            return digest
        return f"{digest} in {self.num_channels} channels"
