"""Which modes of a distribution a generator has found, and how evenly.

Modes are the normal distributions of a mixture, or the classes of labelled images.
"""

import dataclasses

import numpy as np

from stylegan_jax.errors import UserError

_FOUND = 0.1  # of a mode's true share: a stray sample is no mode


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How samples are spread over modes.

    Attributes:
        modes_found: modes whose good samples are at least a tenth of their true share.
        modes: how many there are.
        good_share: share of samples that belong to a mode beyond doubt, 0 to 1.
        reverse_kl: KL divergence, in nats, from the true shares of the modes to those
            of the samples: 0 when all are as frequent as they should be, `log(modes)`
            when all samples are of one of equally likely modes.
        shares: share of the samples in each mode.
    """

    modes_found: int
    modes: int
    good_share: float
    reverse_kl: float
    shares: tuple[float, ...]

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.modes_found} of {self.modes} modes, {self.good_share:.1%} good "
            f"samples, reverse KL {self.reverse_kl:.3f}"
        )


def summarize(modes: np.ndarray, good: np.ndarray, true_shares: np.ndarray) -> Coverage:
    """Coverage from the mode of every sample.

    Args:
        modes: `[N]`, the closest mode of each sample, good or not.
        good: `[N]` bool, whether the sample really belongs to it.
        true_shares: `[K]`, of the modes in the data; positive, sum 1.

    Raises:
        UserError: no samples.
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
    """Coverage of a mixture of equally likely normal distributions.

    A point belongs to the nearest centre, and is good within three standard
    deviations of it, the usual convention for mixtures in the plane.

    Args:
        points: `[N, D]`.
        centers: `[K, D]`.
        std: of every component.
    """
    apart = points[:, None].astype(np.float64) - centers[None]
    distances = np.linalg.norm(apart, axis=2)
    modes = distances.argmin(axis=1)
    good = distances.min(axis=1) <= 3 * std
    return summarize(modes, good, np.full(len(centers), 1 / len(centers)))


def coverage_of_classes(
    probabilities: np.ndarray, true_shares: np.ndarray, *, sure: float = 0.9
) -> Coverage:
    """Coverage of the classes of labelled images.

    Args:
        probabilities: `[N, K]`, a classifier's, of samples.
        true_shares: `[K]`, of the classes in the data.
        sure: a sample is good when the likeliest class has at least this.
    """
    modes = probabilities.argmax(axis=1)
    return summarize(modes, probabilities.max(axis=1) >= sure, true_shares)
