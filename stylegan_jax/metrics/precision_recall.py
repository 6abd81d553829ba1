"""Improved precision and recall.

The manifold of a set of features is the union of balls around them, each out to the
k-th nearest neighbour.

Source: Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing
generative models", section 2; `metrics/precision_recall.py` in NVlabs/stylegan2, which
rounds features and squared distances to float16. Here both are float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.checks import require_comparable


class PrecisionRecall(NamedTuple):
    """Shares of fakes inside the reals' manifold, and of reals inside the fakes'.

    `good_fakes` `[M]` and `found_reals` `[N]` are bool: the features inside.
    """

    precision: float
    recall: float
    good_fakes: np.ndarray
    found_reals: np.ndarray


def precision_recall(
    real: np.ndarray, fake: np.ndarray, *, k: int = 3, block: int = 4096
) -> PrecisionRecall:
    """Precision and recall of fakes `[M, D]` against reals `[N, D]`.

    Recall depends on M: compare only equal sizes. `k` does not count the point itself,
    and points on a sphere are inside. Memory is the square of `block`. Raises UserError
    for non-finite features and for sets of no more than k.
    """
    require_comparable(real, fake)
    if min(len(real), len(fake)) <= k:
        raise UserError(
            f"precision and recall look at the {k} nearest neighbours of every image, "
            f"and there are {len(real)} real and {len(fake)} fake ones; at least "
            f"{k + 1} of each are needed, and hundreds to be of use"
        )
    of_real = squared_radii(real, k=k, block=block)
    of_fake = squared_radii(fake, k=k, block=block)
    good, found = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows in _slices(len(fake), block):
        for columns in _slices(len(real), block):
            distances = _squared_distances(fake[rows], real[columns])
            good[rows] |= np.any(distances <= of_real[columns], axis=1)
            found[columns] |= np.any(distances <= of_fake[rows, None], axis=0)
    return PrecisionRecall(float(good.mean()), float(found.mean()), good, found)


def squared_radii(features: np.ndarray, *, k: int, block: int = 4096) -> np.ndarray:
    """Squared distance of each feature to its k-th nearest neighbour, `[N]`."""
    count = len(features)
    nearest = np.full((count, k + 1), np.inf)  # the point itself among them
    for rows in _slices(count, block):
        for columns in _slices(count, block):
            if columns.start < rows.start:
                continue  # by symmetry
            distances = _squared_distances(features[rows], features[columns])
            nearest[rows] = _smallest(nearest[rows], distances)
            if columns.start > rows.start:
                nearest[columns] = _smallest(nearest[columns], distances.T)
    return nearest.max(axis=1)


def _slices(count: int, block: int) -> Iterator[slice]:
    return (slice(i, min(i + block, count)) for i in range(0, count, block))


def _smallest(known: np.ndarray, more: np.ndarray) -> np.ndarray:
    number = known.shape[1]
    both = np.concatenate([known, more], axis=1)
    return np.partition(both, number - 1, axis=1)[:, :number]


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1)
    distances = norms - 2 * (x @ y.T)
    # Duplicates have distance zero, else rounding decides a radius of zero.
    distances[distances < norms * (x.shape[1] * np.finfo(np.float64).eps)] = 0
    return distances
