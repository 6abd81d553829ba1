"""Mean and covariance of features that come in batches, in float64.

Deviations are always taken from the mean of their own batch, and batches are merged
by their counts, means and scatter matrices. No digits are lost to a mean that is large
beside the spread, as they are in sums of squares, and memory is a few `[D, D]` arrays
however many features there are.

Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance",
equations 2.1; the same for matrices.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files
from stylegan_jax.io.atomic import atomic_file
from stylegan_jax.metrics.finite import require_finite

_ROWS = 4096  # turned to float64 at once
_FIELDS = {"count", "mean", "covariance"}
_SYMMETRIC = 1e-9  # of the largest entry; files of other programs may round


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """What the Frechet distance needs to know of a set of features.

    Attributes:
        count: features, at least 2.
        mean: float64 `[D]`.
        covariance: float64 `[D, D]`, of the sample (divided by `count - 1`), as
            `np.cov(features, rowvar=False)`.
    """

    count: int
    mean: np.ndarray
    covariance: np.ndarray

    def save(self, path: str | Path) -> None:
        """Writes an `.npz` file with the three fields."""
        with atomic_file(path) as file:
            np.savez(file, count=self.count, mean=self.mean, covariance=self.covariance)


class RunningStatistics:
    """Statistics so far.

    One of these per process or per data set; `merge` joins them.

    Attributes:
        count: features so far.
        mean: float64 `[D]`.
        scatter: float64 `[D, D]`, sum of the outer products of deviations.
    """

    def __init__(self, size: int) -> None:
        """Starts with no features of `size` numbers each."""
        self.count = 0
        self.mean = np.zeros(size)
        self.scatter = np.zeros((size, size))

    def add(self, features: np.ndarray) -> None:
        """Takes in a batch.

        Args:
            features: `[N, D]`, any float type, any N.

        Raises:
            UserError: another shape, or features that are not finite.
        """
        size = len(self.mean)
        if features.ndim != 2 or features.shape[1] != size:
            raise UserError(
                f"features of shape {list(features.shape)} where [N, {size}] was "
                "begun with; use one extractor for all images"
            )
        so_far = self.count
        require_finite(features, name=lambda row: f"image {so_far + row}")
        for start in range(0, len(features), _ROWS):
            # One layout: another is another order of additions.
            rows = np.array(features[start : start + _ROWS], np.float64, order="C")
            mean = rows.mean(axis=0)
            rows -= mean
            self._take(len(rows), mean, rows)

    def merge(self, other: "RunningStatistics | Statistics") -> None:
        """Takes in all that another has seen.

        Raises:
            UserError: features of another size.
        """
        if len(other.mean) != len(self.mean):
            raise UserError(
                f"statistics of {len(other.mean)} features cannot join those of "
                f"{len(self.mean)}; use one extractor for all images"
            )
        if isinstance(other, Statistics):
            self.scatter += other.covariance * (other.count - 1)
        else:
            self.scatter += other.scatter
        self._take(other.count, other.mean, np.empty((0, len(self.mean))))

    def statistics(self) -> Statistics:
        """The result.

        Raises:
            UserError: fewer than two features have no covariance.
        """
        if self.count < 2:
            raise UserError(
                f"covariance of {self.count} features; at least 2 are needed, and more "
                "than their size to be of use"
            )
        covariance = self.scatter / (self.count - 1)
        return Statistics(self.count, self.mean.copy(), covariance)

    def _take(self, count: int, mean: np.ndarray, deviations: np.ndarray) -> None:
        """Joins `count` features with this mean and these deviations from it."""
        if count == 0:
            return
        total = self.count + count
        apart = mean - self.mean
        # What the distance of the means adds to the scatter is one more deviation.
        between = np.sqrt(self.count * count / total) * apart
        rows = np.concatenate([deviations, between[None]])
        self.scatter += rows.T @ rows
        self.mean += apart * (count / total)
        self.count = total


def statistics_of(batches: Iterable[np.ndarray]) -> Statistics:
    """Statistics of features that come in batches `[N, D]`; wrap one array in a list.

    Raises:
        UserError: fewer than two features, different sizes, values not finite.
    """
    running = None
    for features in batches:
        running = running or RunningStatistics(np.shape(features)[-1])
        running.add(np.asarray(features))
    return (running or RunningStatistics(0)).statistics()


def merge_statistics(parts: Iterable[Statistics]) -> Statistics:
    """Statistics of all features together, those of several processes for example.

    Raises:
        UserError: no parts, or parts of different sizes.
    """
    running = None
    for part in parts:
        running = running or RunningStatistics(len(part.mean))
        running.merge(part)
    return (running or RunningStatistics(0)).statistics()


def load_statistics(path: str | Path) -> Statistics:
    """Reads what `Statistics.save` wrote; nothing in the file is executed.

    Raises:
        UserError: the file is missing, or not such a file, or its fields contradict
            each other.
    """
    try:
        fields = array_files.read_npz(path)
        if set(fields) != _FIELDS:
            raise UserError(f"its fields are not {', '.join(sorted(_FIELDS))}")
        _check(**fields)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name a file of statistics") from None
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is not a file of statistics ({error}); compute them again"
        ) from None
    return Statistics(int(fields["count"]), fields["mean"], fields["covariance"])


def _check(count: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    if count.shape != () or count.dtype.kind not in "iu" or count < 2:
        raise UserError("count is not a whole number from 2")
    if mean.dtype != np.float64 or covariance.dtype != np.float64:
        raise UserError("mean and covariance are not float64")
    size = len(mean) if mean.ndim == 1 else -1
    if covariance.shape != (size, size):
        raise UserError(f"shapes {mean.shape} and {covariance.shape} do not match")
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
        raise UserError("some values are not finite")
    apart = np.abs(covariance - covariance.T).max(initial=0)
    if apart > _SYMMETRIC * np.abs(covariance).max(initial=0):
        raise UserError("covariance is not symmetric")
