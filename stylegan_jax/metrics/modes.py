"""Mode coverage of samples, for mixtures of normals and for classes."""

from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError

_FOUND = 0.1  # least part of a mode's true share


class Coverage(NamedTuple):
    """Distribution of samples over modes."""

    modes_found: int  # with at least a tenth of their true share of good samples
    modes: int
    good_share: float  # of samples that clearly belong to a mode, 0 to 1
    # KL divergence in nats from the true shares to the samples': `log(modes)` if all
    # are of one of equally likely modes.
    reverse_kl: float
    shares: tuple[float, ...]  # of the samples, by mode

    def __str__(self) -> str:
        return (
            f"{self.modes_found} of {self.modes} modes, {self.good_share:.1%} good "
            f"samples, reverse KL {self.reverse_kl:.3f}"
        )


def summarize(modes: np.ndarray, good: np.ndarray, true_shares: np.ndarray) -> Coverage:
    """Coverage from the closest mode of every sample, `[N]`; `good` marks clear ones.

    `true_shares` are positive `[K]` with sum 1.
    """
    if len(modes) == 0:
        raise UserError("coverage of no samples; draw at least one")
    number = len(true_shares)
    shares = np.bincount(modes, minlength=number) / len(modes)
    good_shares = np.bincount(modes[good], minlength=number) / len(modes)
    here = shares > 0
    reverse_kl = np.sum(shares[here] * np.log(shares[here] / true_shares[here]))
    return Coverage(
        modes_found=int(np.sum(good_shares >= _FOUND * true_shares)),
        modes=number,
        good_share=float(np.mean(good)),
        reverse_kl=float(reverse_kl),
        shares=tuple(float(share) for share in shares),
    )


def coverage_of_points(points: np.ndarray, centers: np.ndarray, std: float) -> Coverage:
    """Coverage by points `[N, D]` of equally likely normals around `centers` `[K, D]`.

    A point is good within three standard deviations of the nearest centre, the usual
    convention for mixtures in the plane.
    """
    apart = points[:, None].astype(np.float64) - centers[None]
    distances = np.linalg.norm(apart, axis=2)
    modes = distances.argmin(axis=1)
    good = distances.min(axis=1) <= 3 * std
    return summarize(modes, good, np.full(len(centers), 1 / len(centers)))


def coverage_of_classes(
    probabilities: np.ndarray, true_shares: np.ndarray, *, sure: float = 0.9
) -> Coverage:
    """Coverage of classes, from a classifier's `probabilities` `[N, K]` of samples.

    A sample is good if the likeliest class has at least `sure`; `true_shares` `[K]` are
    those of the data.
    """
    modes = probabilities.argmax(axis=1)
    return summarize(modes, probabilities.max(axis=1) >= sure, true_shares)
