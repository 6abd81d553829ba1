"""Images in memory as a source."""

import hashlib
from collections.abc import Sequence

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io.resampling import square_box


class ArraySource:
    """Random access to images that are there; a `Source`.

    Attributes:
        name: for messages.
        num_channels: of the images.
        label_size: 0; they have no labels.
        sides: shorter side of each image in pixels, `[N]`.
    """

    label_size = 0

    def __init__(self, images: np.ndarray, name: str = "the array") -> None:
        """Wraps uint8 images `[N, H, W, C]`; raises UserError for others."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] > 4:
            raise UserError(
                f"{name} is {images.dtype} {list(images.shape)}; images are uint8 "
                "[N, H, W, C] (io.images.to_uint8 makes them of floats in [-1, 1])"
            )
        self.name, self.num_channels = name, images.shape[3]
        self.sides = np.full(len(images), min(images.shape[1:3]))
        self._images = images

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, its central square, uint8 `[resolution, resolution, C]`."""
        return square_box(self._images[index], resolution)

    def label(self, index: int) -> np.ndarray:
        """An empty label, float32 `[0]`."""
        return np.zeros(0, np.float32)

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Says which images these are; see `Source`."""
        chosen = range(len(self))[:which] if isinstance(which, int) else which
        found = hashlib.sha256(str(self._images.shape[1:]).encode())
        for index in chosen:
            found.update(self._images[index].tobytes())
        return found.hexdigest()
