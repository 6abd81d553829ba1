"""Points drawn from normal distributions, for looking at what a GAN learns.

A point is an image of one pixel whose channels are its coordinates, so that sources,
batches and networks treat it like any other image; its values are used as they are.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from stylegan_jax.data.config import DataConfig


class Points:
    """A fixed sample of a mixture of equally likely normal distributions.

    Attributes:
        name: for messages and provenance.
        num_channels: coordinates of a point.
        label_size: 0; points have no labels.
        centers: of the distributions, float32 `[modes, dimensions]`.
        std: of each of them in every direction.
    """

    label_size = 0

    def __init__(
        self, name: str, centers: np.ndarray, std: float, size: int, seed: int
    ) -> None:
        """Draws `size` points; the same for the same seed."""
        self.name, self.centers, self.std = name, centers.astype(np.float32), std
        self.num_channels = centers.shape[1]
        rng = np.random.Generator(np.random.Philox(seed))
        modes = rng.integers(len(centers), size=size)
        spread = std * rng.standard_normal((size, self.num_channels))
        self._points = (centers[modes] + spread).astype(np.float32)

    def __len__(self) -> int:
        """Number of points."""
        return len(self._points)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One point, float32 `[1, 1, dimensions]`; `resolution` is 1."""
        return self._points[index].reshape(1, 1, -1)

    def label(self, index: int) -> np.ndarray:
        """An empty label, float32 `[0]`."""
        return np.zeros(0, np.float32)

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Says which points these are; see `Source`."""
        chosen = range(len(self))[:which] if isinstance(which, int) else which
        return hashlib.sha256(self._points[list(chosen)].tobytes()).hexdigest()


def open_points(config: DataConfig) -> Points:
    """The ring in the plane, or the normal distribution around 1 on the line."""
    if config.name == "ring":
        angles = 2 * np.pi * np.arange(config.ring_modes) / config.ring_modes
        centers = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        centers = np.ones((1, 1))
    size = min(config.points_size, config.max_images or config.points_size)
    return Points(config.name, centers, config.points_std, size, config.seed)
