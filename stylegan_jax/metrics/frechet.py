"""Frechet distance of two normal distributions: the FID, given Inception features.

Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule", equation 6;
`metrics/frechet_inception_distance.py` in NVlabs/stylegan.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.statistics import Statistics


def frechet_distance(a: Statistics, b: Statistics, *, ddof: int = 1) -> float:
    """Squared Frechet (2-Wasserstein) distance of the normals with these statistics.

    `|mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B))`. The trace of the root is the sum
    of the singular values of `L_a^T L_b`, where `A = L_a L_a^T`. That is exact for
    singular covariances too, where a root of the product (`scipy.linalg.sqrtm`) loses
    half of the digits, and never complex.

    Args:
        a: of one set of features.
        b: of the other; the distance is symmetric.
        ddof: 1 takes covariances of the sample, as `np.cov` and NVlabs/stylegan; 0
            those of the population, as StyleGAN2-ADA.

    Raises:
        UserError: features of different sizes.
        UserError: `ddof` is neither 0 nor 1.
    """
    if a.mean.shape != b.mean.shape:
        raise UserError(
            f"statistics of {a.mean.size} and of {b.mean.size} features have no "
            "distance; use one extractor for both sets"
        )
    if ddof not in (0, 1):
        raise UserError(f"ddof {ddof} is neither 0 nor 1")
    # Threads of OpenBLAS wait for each other when cores are busy: 1.4 s with one
    # became 8 to 19 s with two, for 1024 features on two cores under load.
    with threadpool_limits(1, user_api="blas"):
        root_a, root_b = _root(a, ddof), _root(b, ddof)
        overlap = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    spread = np.sum(root_a**2) + np.sum(root_b**2)
    return float(np.sum((a.mean - b.mean) ** 2) + spread - 2 * overlap)


def _root(statistics: Statistics, ddof: int) -> np.ndarray:
    """`[D, R]` L of full rank R with `L L^T` the covariance.

    N samples have a rank of N - 1 at most, and eigenvalues within rounding error of
    zero are zero. Left in, each would add the *root* of its error to the distance.
    """
    count, size = statistics.count, statistics.mean.size
    values, vectors = np.linalg.eigh(statistics.covariance)  # ascending
    rank = min(count - 1, size)
    values, vectors = values[size - rank :], vectors[:, size - rank :]
    smallest = values.max(initial=0) * size * np.finfo(np.float64).eps
    kept = values > smallest
    scale = (count - 1) / (count - ddof)
    return vectors[:, kept] * np.sqrt(values[kept] * scale)
