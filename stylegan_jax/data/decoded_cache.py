"""In-memory cache of decoded images."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stylegan_jax.data.sources import Source


class DecodedSource:
    """Thread-safe cache of a source's images of one resolution, up to `cache_bytes`.

    Phases that share an instance share the cache; a new resolution replaces it.
    """

    def __init__(
        self, source: Source, cache_bytes: int, dtype: type[np.generic] = np.uint8
    ) -> None:
        """Wraps `source`, whose images have type `dtype`."""
        self.name, self.num_channels = source.name, source.num_channels
        self.label_size = source.label_size
        self.source, self._cache_bytes = source, cache_bytes
        self._dtype = np.dtype(dtype)
        self._held = (0, np.zeros((0, 0, 0, 0), dtype), np.zeros(0, bool))
        self._lock = threading.Lock()
        # Decoding and drawing mostly run without the interpreter lock.
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode")

    def __len__(self) -> int:

        return len(self.source)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image `[resolution, resolution, C]` of the source's type."""
        return self.gather(np.array([index]), resolution)[0]

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`; call `image` first."""
        return self.source.label(index)

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of the source; see `Source`."""
        return self.source.fingerprint(which, resolution)

    def gather(self, indices: np.ndarray, resolution: int) -> np.ndarray:
        """Many images: indices `[N]` -> `[N, resolution, resolution, C]`."""
        pixels, filled = self._memory(resolution)
        images = np.empty((len(indices), *pixels.shape[1:]), self._dtype)
        held = indices < len(pixels)
        ready = held.copy()
        ready[held] = filled[indices[held]]
        if ready.all():  # `take` copies without the interpreter lock
            return pixels.take(indices, axis=0, out=images, mode="clip")
        images[ready] = pixels[indices[ready]]

        def decode(place: int) -> None:
            index = int(indices[place])
            images[place] = self.source.image(index, resolution)
            if held[place]:  # two threads may do this at once, with the same result
                pixels[index] = images[place]
                filled[index] = True

        list(self._pool.map(decode, np.flatnonzero(~ready)))
        return images

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """Labels of images already gathered: `[N]` -> float32 `[N, label_size]`."""
        if not self.label_size:
            return np.zeros((len(indices), 0), np.float32)
        return np.stack([self.source.label(int(index)) for index in indices])

    def _memory(self, resolution: int) -> tuple[np.ndarray, np.ndarray]:
        with self._lock:
            if resolution != self._held[0]:
                shape = (resolution, resolution, self.num_channels)
                size = int(np.prod(shape)) * self._dtype.itemsize
                capacity = min(len(self), self._cache_bytes // size)
                # Pages of an empty array take no memory until written.
                pixels = np.empty((capacity, *shape), self._dtype)
                self._held = resolution, pixels, np.zeros(capacity, bool)
            return self._held[1:]
