"""Fréchet distance between feature statistics: FID, given Inception features.

Mean and covariance are accumulated in float64, with deviations from the mean of their
own batch: no digits are lost to a mean that is large beside the spread.

Sources: Heusel et al. 2017, "GANs trained by a two time-scale update rule", equation 6;
`metrics/frechet_inception_distance.py` in NVlabs/stylegan. Chan, Golub and LeVeque
1983, "Algorithms for computing the sample variance", equations 2.1, for matrices.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files
from stylegan_jax.io.atomic import atomic_file
from stylegan_jax.metrics.checks import require_finite

_ROWS = 4096  # converted to float64 at once
_FIELDS = {"count", "mean", "covariance"}
_SYMMETRIC = 1e-9  # relative tolerance; other programs' files may round


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """Mean `[D]` and sample covariance (by `count - 1`) `[D, D]`, float64."""

    count: int
    mean: np.ndarray
    covariance: np.ndarray

    def save(self, path: str | Path) -> None:
        """Writes the fields as `.npz`."""
        with atomic_file(path) as file:
            np.savez(file, count=self.count, mean=self.mean, covariance=self.covariance)


@dataclasses.dataclass(eq=False)
class RunningStatistics:
    """Accumulator of `Statistics`; `scatter` sums the deviations' outer products."""

    count: int = 0
    mean: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    scatter: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        self.count = int(self.count)  # files have an array

    def add(self, features: np.ndarray) -> None:
        """Adds a batch `[N, D]`; raises UserError for non-finite values."""
        if not self.count:
            size = features.shape[-1]
            self.mean, self.scatter = np.zeros(size), np.zeros((size, size))
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise UserError(
                f"features of shape {list(features.shape)} where [N, "
                f"{len(self.mean)}] was begun with; use one extractor for all images"
            )
        so_far = self.count
        require_finite(features, name=lambda row: f"image {so_far + row}")
        for start in range(0, len(features), _ROWS):
            # A fixed layout fixes the order of additions.
            rows = np.array(features[start : start + _ROWS], np.float64, order="C")
            mean = rows.mean(axis=0)
            rows -= mean
            total, apart = self.count + len(rows), mean - self.mean
            # The distance of the means enters the scatter as one more deviation.
            between = np.sqrt(self.count * len(rows) / total) * apart
            deviations = np.concatenate([rows, between[None]])
            self.scatter += deviations.T @ deviations
            self.mean += apart * (len(rows) / total)
            self.count = total

    def statistics(self) -> Statistics:
        """Statistics so far; raises UserError for fewer than two features."""
        if self.count < 2:
            raise UserError(
                f"covariance of {self.count} features; at least 2 are needed, and more "
                "than their size to be of use"
            )
        covariance = self.scatter / (self.count - 1)
        return Statistics(self.count, self.mean.copy(), covariance)

    def arrays(self) -> dict[str, Any]:
        """The fields, by which it can be built again."""
        return dict(vars(self))


def statistics_of(batches: Iterable[np.ndarray]) -> Statistics:
    """Statistics of batches `[N, D]`; see `RunningStatistics.add`."""
    running = RunningStatistics()
    for features in batches:
        running.add(np.asarray(features))
    return running.statistics()


def load_statistics(path: str | Path) -> Statistics:
    """Reads a file of `Statistics.save`; nothing in it is executed.

    Raises UserError if it is missing, damaged or inconsistent.
    """
    try:
        fields = array_files.read_npz(path)
        if set(fields) != _FIELDS:
            raise UserError(f"its fields are not {', '.join(sorted(_FIELDS))}")
        _check(**fields)
    except UserError as error:
        raise UserError(
            f"{path} is not a file of statistics ({error}); compute them again"
        ) from None
    return Statistics(int(fields["count"]), fields["mean"], fields["covariance"])


def frechet_distance(a: Statistics, b: Statistics, *, ddof: int = 1) -> float:
    """Squared Fréchet (2-Wasserstein) distance of normal distributions.

    `|mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B))`. The trace of the root is the sum
    of the singular values of `L_a^T L_b`, where `A = L_a L_a^T`: exact for singular
    covariances, where `scipy.linalg.sqrtm` loses half of the digits, and never complex.
    `ddof` is 1 for sample covariances, as in NVlabs/stylegan, and 0 for those of the
    population, as in StyleGAN2-ADA.
    """
    if a.mean.shape != b.mean.shape:
        raise UserError(
            f"statistics of {a.mean.size} and of {b.mean.size} features have no "
            "distance; use one extractor for both sets"
        )
    if ddof not in (0, 1):
        raise UserError(f"ddof {ddof} is neither 0 nor 1")
    # OpenBLAS threads wait for each other on busy cores.
    with threadpool_limits(1, user_api="blas"):
        root_a, root_b = _root(a, ddof), _root(b, ddof)
        overlap = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    spread = np.sum(root_a**2) + np.sum(root_b**2)
    return float(np.sum((a.mean - b.mean) ** 2) + spread - 2 * overlap)


def _root(statistics: Statistics, ddof: int) -> np.ndarray:
    """`[D, R]` L of full rank with `L L^T` the covariance.

    Eigenvalues within rounding error of zero are dropped: each would add the *root* of
    its error to the distance.
    """
    count, size = statistics.count, statistics.mean.size
    values, vectors = np.linalg.eigh(statistics.covariance)  # ascending
    rank = min(count - 1, size)
    values, vectors = values[size - rank :], vectors[:, size - rank :]
    smallest = values.max(initial=0) * size * np.finfo(np.float64).eps
    kept = values > smallest
    scale = (count - 1) / (count - ddof)
    return vectors[:, kept] * np.sqrt(values[kept] * scale)


def _check(count: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    size = len(mean) if mean.ndim == 1 else -1
    if count.shape != () or count.dtype.kind not in "iu" or count < 2:
        raise UserError("count is not a whole number from 2")
    if mean.dtype != np.float64 or covariance.dtype != np.float64:
        raise UserError("mean and covariance are not float64")
    if covariance.shape != (size, size):
        raise UserError(f"shapes {mean.shape} and {covariance.shape} do not match")
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
        raise UserError("some values are not finite")
    apart = np.abs(covariance - covariance.T).max(initial=0)
    if apart > _SYMMETRIC * np.abs(covariance).max(initial=0):
        raise UserError("covariance is not symmetric")
