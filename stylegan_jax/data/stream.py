"""Shuffled, mirrored uint8 batches for one process, resumable at any image count.

The stream is a pure function of (seed, size of the data, image count): place `p`
belongs to epoch `p // size`, whose order is one permutation. So it continues
unchanged with another batch size, resolution or number of processes.
"""

import functools
import itertools
import os
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError

Batch = dict[str, np.ndarray]

_AHEAD_BYTES = 256 * 2**20  # of prepared batches, beyond the two that are always made
_MAX_AHEAD = 8


class Decoded:
    """Images of a source, of which those of one resolution are kept in memory.

    Thread-safe. Phases that share an instance share the memory of `cache_bytes`; a new
    resolution replaces the images.
    """

    def __init__(
        self, source: Source, cache_bytes: int, dtype: type[np.generic] = np.uint8
    ) -> None:
        """Wraps `source`, whose images have type `dtype`."""
        self.source, self._cache_bytes = source, cache_bytes
        self._dtype = np.dtype(dtype)
        self._held = (0, np.zeros((0, 0, 0, 0), dtype), np.zeros(0, bool))
        self._lock = threading.Lock()
        # Decoding and drawing mostly run without the interpreter lock.
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode")

    def images(self, indices: np.ndarray, resolution: int) -> np.ndarray:
        """Images at `indices`, `[N]`: `[N, resolution, resolution, C]`."""
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
        """Labels of images already decoded: float32 `[N, label_size]`."""
        if not self.source.label_size:
            return np.zeros((len(indices), 0), np.float32)
        return np.stack([self.source.label(int(index)) for index in indices])

    def _memory(self, resolution: int) -> tuple[np.ndarray, np.ndarray]:
        with self._lock:
            if resolution != self._held[0]:
                shape = (resolution, resolution, self.source.num_channels)
                size = int(np.prod(shape)) * self._dtype.itemsize
                capacity = min(len(self.source), self._cache_bytes // size)
                # Pages of an empty array take no memory until written.
                pixels = np.empty((capacity, *shape), self._dtype)
                self._held = resolution, pixels, np.zeros(capacity, bool)
            return self._held[1:]


def order(
    places: np.ndarray, size: int, *, seed: int, mirror: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Indices int64 `[N]` and flips bool `[N]` at places in a stream of a size."""
    epochs, offsets = np.divmod(places, size)
    indices, flips = np.empty(len(places), np.int64), np.empty(len(places), bool)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        permutation, flipped = _epoch(size, seed, int(epoch))
        indices[here] = permutation[offsets[here]]
        flips[here] = flipped[offsets[here]]
    return indices, flips & mirror


# A batch may lie across epochs, and two threads may make neighbours.
@functools.lru_cache(maxsize=4)
def _epoch(size: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.Philox([seed, epoch]))
    return rng.permutation(size), rng.random(size) < 0.5


def mirrored(images: np.ndarray) -> np.ndarray:
    """Flips `[N, H, W, C]` left to right; channel by channel takes half the time."""
    flipped = np.empty_like(images)
    for channel in range(images.shape[-1]):
        flipped[..., channel] = images[:, :, ::-1, channel]
    return flipped


def batches(
    decoded: Decoded,
    *,
    resolution: int,
    repeats: int,
    batch_size: int,
    start_nimg: int,
    seed: int,
    mirror: bool,
    process_index: int = 0,
    process_count: int = 1,
) -> Generator[Batch, None, None]:
    """Yields this process's share of the stream without end, from `start_nimg` on.

    `batch_size` and `start_nimg` count images over all processes; `repeats` are the
    minibatches per element, and `mirror` flips each image with probability 1/2. A
    thread makes elements ahead until the generator is closed (`contextlib.closing`).
    UserError if the batch cannot be divided among the processes.

    Yields:
        `{"images": uint8 [repeats, N, R, R, C], "labels": float32 [repeats, N,
        label_size]}` with `N = batch_size // process_count`, a block of each minibatch.
    """
    if batch_size % process_count:
        raise UserError(
            f"batch_size {batch_size} is not divisible by {process_count} processes"
        )
    source = decoded.source

    def make(step: int) -> Batch:
        first = start_nimg + step * repeats * batch_size
        places = np.arange(first, first + repeats * batch_size)
        # A block: the minibatch and its order do not depend on the process count.
        places = places.reshape(repeats, process_count, -1)[:, process_index].ravel()
        indices, flips = order(places, len(source), seed=seed, mirror=mirror)
        images = decoded.images(indices, resolution)
        images[flips] = mirrored(images[flips])
        labels = decoded.labels(indices)  # after the images, see `StoredSource`
        lead = (repeats, batch_size // process_count)
        return {
            "images": images.reshape(*lead, *images.shape[1:]),
            "labels": labels.reshape(*lead, source.label_size),
        }

    size = repeats * batch_size // process_count * resolution**2 * source.num_channels
    ahead = min(max(_AHEAD_BYTES // size, 2), _MAX_AHEAD)
    thread = ThreadPoolExecutor(1, "batches")
    try:
        pending = deque(thread.submit(make, step) for step in range(ahead))
        for step in itertools.count(ahead):
            batch = pending.popleft().result()
            pending.append(thread.submit(make, step))
            yield batch
    finally:
        thread.shutdown(cancel_futures=True)
