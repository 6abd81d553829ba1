"""Shuffled, mirrored uint8 batches for one process, resumable at any image count.

The stream is a pure function of (seed, size of the data, image count): place `p`
belongs to epoch `p // size`, whose order is one permutation. So it continues
unchanged with another batch size, resolution or number of processes.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from stylegan_jax.data.decoded_cache import DecodedSource
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError

Batch = dict[str, np.ndarray]

_AHEAD_BYTES = 256 * 2**20  # of prepared batches, beyond the two that are always made
_MAX_AHEAD = 8


class Order:
    """Image index and flip at each place of the endless stream."""

    def __init__(self, size: int, *, seed: int, mirror: bool) -> None:
        """Defines the order of `size` images."""
        self._size, self._seed, self._mirror = size, seed, mirror
        # A batch may lie across epochs, and two threads may make neighbours.
        self._epoch = functools.lru_cache(maxsize=4)(self._draw_epoch)

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places `[N]` -> image indices int64 `[N]` and flips bool `[N]`."""
        epochs, offsets = np.divmod(places, self._size)
        indices = np.empty(len(places), np.int64)
        flips = np.empty(len(places), bool)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order, flipped = self._epoch(int(epoch))
            indices[here] = order[offsets[here]]
            flips[here] = flipped[offsets[here]]
        return indices, flips

    def _draw_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.Generator(np.random.Philox([self._seed, epoch]))
        order = rng.permutation(self._size)
        flips = rng.random(self._size) < 0.5
        return order, flips & self._mirror


def mirrored(images: np.ndarray) -> np.ndarray:
    """Flips `[N, H, W, C]` left to right; channel by channel takes half the time."""
    flipped = np.empty_like(images)
    for channel in range(images.shape[-1]):
        flipped[..., channel] = images[:, :, ::-1, channel]
    return flipped


class Batches(Iterator[Batch]):
    """Endless iterator of batches made ahead by a thread; `close` it or use `with`."""

    def __init__(self, make: Callable[[int], Batch], ahead: int) -> None:
        """Starts making `make(0)`, `make(1)`, ..., up to `ahead` in advance."""
        self._make, self._steps = make, itertools.count()
        self._thread = ThreadPoolExecutor(1, "batches")
        self._pending: deque[Future[Batch]] = deque()
        for _ in range(ahead):
            self._submit()

    def __next__(self) -> Batch:
        batch = self._pending[0].result()  # an error stays the next element
        self._pending.popleft()
        self._submit()
        return batch

    def close(self) -> None:
        """Stops the thread; a batch being made is finished and dropped."""
        self._thread.shutdown(cancel_futures=True)

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self) -> None:
        self._pending.append(self._thread.submit(self._make, next(self._steps)))


def batches(
    source: Source,
    *,
    resolution: int,
    repeats: int,
    batch_size: int,
    start_nimg: int,
    seed: int,
    mirror: bool,
    process_index: int = 0,
    process_count: int = 1,
    cache_bytes: int = 0,
) -> Batches:
    """Iterator over this process's share of the stream, from image `start_nimg` on.

    `batch_size` and `start_nimg` count images over all processes.

    Args:
        source: a `DecodedSource` keeps its cache between phases.
        repeats: minibatches per element.
        mirror: flip each image with probability 1/2.
        cache_bytes: memory for decoded images, unless `source` is a `DecodedSource`.

    Returns:
        `{"images": uint8 [repeats, N, R, R, C], "labels": float32 [repeats, N,
        label_size]}` with `N = batch_size // process_count`, a block of each minibatch.

    Raises:
        UserError: the batch cannot be divided among the processes.
    """
    if repeats < 1 or batch_size < 1 or start_nimg < 0:
        raise UserError(
            f"repeats {repeats} and batch_size {batch_size} must be at least 1, "
            f"start_nimg {start_nimg} at least 0"
        )
    if batch_size % process_count:
        raise UserError(
            f"batch_size {batch_size} is not divisible by {process_count} processes"
        )
    if not 0 <= process_index < process_count:
        raise UserError(f"process {process_index} is not one of {process_count}")
    if not isinstance(source, DecodedSource):
        source = DecodedSource(source, cache_bytes)
    order = Order(len(source), seed=seed, mirror=mirror)

    def make(step: int) -> Batch:
        first = start_nimg + step * repeats * batch_size
        places = np.arange(first, first + repeats * batch_size)
        # A block: the minibatch and its order do not depend on the process count.
        places = places.reshape(repeats, process_count, -1)[:, process_index].ravel()
        indices, flips = order.at(places)
        images = source.gather(indices, resolution)
        images[flips] = mirrored(images[flips])
        labels = source.labels(indices)  # after the images, see `Source`
        lead = (repeats, batch_size // process_count)
        return {
            "images": images.reshape(*lead, *images.shape[1:]),
            "labels": labels.reshape(*lead, source.label_size),
        }

    size = repeats * batch_size // process_count * resolution**2 * source.num_channels
    return Batches(make, min(max(_AHEAD_BYTES // size, 2), _MAX_AHEAD))
