"""Nearest images of a data set, and a test for copying.

Sources: Goodfellow et al. 2014, figure 2; Meehan et al. 2020, "A non-parametric test to
detect data-copying in generative models", section 3.
"""

from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.measures import Images, open_images
from stylegan_jax.metrics.sampling import as_rgb

_BLOCK = 256


class Neighbours(NamedTuple):
    """Nearest images of each query, nearest first, all `[N, count]`.

    `indices` are places in the data; `distances` are root mean squared differences of
    levels, 0 to 255, or Euclidean distances of features; `images` is `[N, count, H, W,
    C]`, uint8.
    """

    indices: np.ndarray
    distances: np.ndarray
    images: np.ndarray


def nearest(
    queries: np.ndarray,
    data: Images,
    count: int = 1,
    *,
    features: FrozenNetwork | None = None,
    mirror: bool = False,
    quiet: bool = True,
) -> Neighbours:
    """Nearest images of `data`, exhaustively, to `queries`, uint8 `[N, H, W, C]`.

    In pixels, or in a network's features; with `mirror` each image also counts as its
    mirror image. Takes the memory of a block of images. Raises UserError for other
    channels and for fewer images than `count`.
    """
    source = open_images(data, queries.shape[3])
    if source.num_channels != queries.shape[3]:
        raise UserError(
            f"{source.name} has {source.num_channels} channels and the images to find "
            f"neighbours of have {queries.shape[3]}"
        )
    if not 1 <= count <= len(source):
        raise UserError(f"`count` {count}: {source.name} has {len(source)} images")
    wanted = _vectors(queries, features)
    best = np.full((len(queries), 0), np.inf)
    places = np.zeros((len(queries), 0), int)
    starts = range(0, len(source), _BLOCK)
    with progress_bar(quiet=quiet) as bar:
        for start in bar.track(starts, description="nearest images"):
            block = range(start, min(start + _BLOCK, len(source)))
            images = np.stack([source.image(i, queries.shape[1]) for i in block])
            distances = _distances(wanted, _vectors(images, features))
            if mirror:
                turned = _vectors(images[:, :, ::-1], features)
                distances = np.minimum(distances, _distances(wanted, turned))
            numbers = np.broadcast_to(block, distances.shape)
            best = np.concatenate([best, distances], axis=1)
            places = np.concatenate([places, numbers], axis=1)
            order = np.argsort(best, axis=1, kind="stable")[:, :count]
            best = np.take_along_axis(best, order, axis=1)
            places = np.take_along_axis(places, order, axis=1)
    if features is None:
        best = best / np.sqrt(wanted.shape[1])
    shown = [[source.image(int(i), queries.shape[1]) for i in row] for row in places]
    return Neighbours(places, best, np.array(shown))


def copying(samples: np.ndarray, held_out: np.ndarray) -> float:
    """Share of pairs in which a sample is nearer to training images than real ones.

    Both are distances to the nearest training image, `[N]` of samples and `[M]` of
    images that were not trained on. 0.5 is what new images of the same kind have; near
    1 the generator copies. Meehan's U statistic over N M, ties counted half.
    """
    if not (len(samples) and len(held_out)):
        raise UserError("there are no distances to compare")
    difference = held_out[None, :] - samples[:, None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _distances(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.stack([np.linalg.norm(found - x, axis=1) for x in wanted])


def _vectors(images: np.ndarray, features: FrozenNetwork | None) -> np.ndarray:
    if features is None:
        return images.reshape(len(images), -1).astype(np.float32)
    parts = [
        np.asarray(features(as_rgb(images[i : i + 32])))
        for i in range(0, len(images), 32)
    ]
    return np.concatenate(parts)
