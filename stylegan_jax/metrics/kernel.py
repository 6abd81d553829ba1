"""Kernel distance between sets of features: KID, given Inception features.

Squared maximum mean discrepancy (MMD) with the kernel `(x . y / D + 1)^3`. Its estimate
is unbiased, so comparable between sets of different sizes, and may be negative.

Source: Binkowski et al. 2018, "Demystifying MMD GANs", sections 2 and 4;
`metrics/kernel_inception_distance.py` in NVlabs/stylegan2-ada-pytorch.
"""

from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.checks import require_comparable

_BLOCK = 2048  # rows and columns of a kernel matrix at once


class KernelDistance(NamedTuple):
    """Mean (the KID), population deviation and values `[S]` over subsets."""

    mean: float
    std: float
    values: np.ndarray


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 2020,
) -> KernelDistance:
    """Unbiased squared MMD of features `[N, D]`, averaged over random subsets.

    `subset_size` is 1000 by default, or all if there are fewer. Raises UserError for
    non-finite features and too small sets.
    """
    _check(real, fake)
    there = min(len(real), len(fake))
    size = min(1000, there) if subset_size is None else subset_size
    if not 2 <= size <= there:
        raise UserError(
            f"subsets of {size} of {len(real)} real and {len(fake)} fake features; "
            f"give a subset_size from 2 to {there}"
        )
    of_real, of_fake = draw_subsets(
        len(real), len(fake), subsets=subsets, subset_size=size, seed=seed
    )
    pairs = zip(of_real, of_fake, strict=True)
    values = np.array([squared_mmd(real[i], fake[j]) for i, j in pairs])
    return KernelDistance(float(values.mean()), float(values.std()), values)


def draw_subsets(
    num_real: int, num_fake: int, *, subsets: int, subset_size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of real and fake features, int `[subsets, subset_size]`, unique in each.

    The draws are those of torch-fidelity, whose seed is 2020: one `RandomState`, and
    for each subset the fakes before the reals.
    """
    rng = np.random.RandomState(seed)
    of_real, of_fake = np.empty((2, subsets, subset_size), np.int64)
    for i in range(subsets):
        of_fake[i] = rng.choice(num_fake, subset_size, replace=False)
        of_real[i] = rng.choice(num_real, subset_size, replace=False)
    return of_real, of_fake


def squared_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    """Unbiased squared MMD of all features `[N, D]` and `[M, D]`, in blocks."""
    _check(real, fake)
    x, y = (np.asarray(features, np.float64) for features in (real, fake))
    own = [
        (_kernel_sum(z, z) - _diagonal_sum(z)) / (len(z) * (len(z) - 1)) for z in (x, y)
    ]
    return float(sum(own) - 2 * _kernel_sum(x, y) / (len(x) * len(y)))


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    total = 0.0
    for i in range(0, len(x), _BLOCK):
        for j in range(0, len(y), _BLOCK):
            products = x[i : i + _BLOCK] @ y[j : j + _BLOCK].T
            total += np.sum((products / x.shape[1] + 1) ** 3)
    return total


def _diagonal_sum(x: np.ndarray) -> float:
    return np.sum((np.sum(x**2, axis=1) / x.shape[1] + 1) ** 3)


def _check(real: np.ndarray, fake: np.ndarray) -> None:
    require_comparable(real, fake)
    if min(len(real), len(fake)) < 2:
        raise UserError(
            f"kernel distance of {len(real)} real and {len(fake)} fake features; "
            "at least 2 of each are needed"
        )
