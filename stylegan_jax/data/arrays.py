"""In-memory sources: image arrays and synthetic points."""

import hashlib
from collections.abc import Sequence

import numpy as np

from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.io.resampling import square_box


class _InMemory:
    label_size = 0

    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name, self.num_channels = name, values.shape[-1]
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def label(self, index: int) -> np.ndarray:
        """An empty label, float32 `[0]`."""
        return np.zeros(0, np.float32)

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of the values; see `Source`."""
        chosen = range(len(self))[:which] if isinstance(which, int) else which
        found = hashlib.sha256(str(self._values.shape[1:]).encode())
        for index in chosen:
            found.update(self._values[index].tobytes())
        return found.hexdigest()


class ArraySource(_InMemory):
    """Unlabelled images in memory; `sides` are their shorter sides in pixels, `[N]`."""

    def __init__(self, images: np.ndarray, name: str = "the array") -> None:
        """Wraps uint8 images `[N, H, W, C]`; raises UserError for others."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] > 4:
            raise UserError(
                f"{name} is {images.dtype} {list(images.shape)}; images are uint8 "
                "[N, H, W, C] (io.images.to_uint8 makes them of floats in [-1, 1])"
            )
        super().__init__(name, images)
        self.sides = np.full(len(images), min(images.shape[1:3]))

    def image(self, index: int, resolution: int) -> np.ndarray:
        """Central square of one image, uint8 `[resolution, resolution, C]`."""
        return square_box(self._values[index], resolution)


class Points(_InMemory):
    """Fixed sample of an equal mixture of isotropic normal distributions; a `Source`.

    A point is a one-pixel image whose channels are its coordinates, in original units.
    `centers` is float32 `[modes, dimensions]`.
    """

    def __init__(
        self, name: str, centers: np.ndarray, std: float, size: int, seed: int
    ) -> None:
        """Draws `size` points, reproducibly for a seed."""
        self.centers, self.std = centers.astype(np.float32), std
        rng = np.random.Generator(np.random.Philox(seed))
        modes = rng.integers(len(centers), size=size)
        spread = std * rng.standard_normal((size, centers.shape[1]))
        super().__init__(name, (centers[modes] + spread).astype(np.float32))

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One point, float32 `[1, 1, dimensions]`; `resolution` is 1."""
        return self._values[index].reshape(1, 1, -1)


def open_points(config: DataConfig) -> Points:
    """Ring in the plane, or normal distribution around 1 on the line."""
    if config.name == "ring":
        angles = 2 * np.pi * np.arange(config.ring_modes) / config.ring_modes
        centers = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        centers = np.ones((1, 1))
    size = min(config.points_size, config.max_images or config.points_size)
    return Points(config.name, centers, config.points_std, size, config.seed)
