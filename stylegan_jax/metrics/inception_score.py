"""Inception score.

Source: Salimans et al. 2016, "Improved techniques for training GANs", section 4;
`metrics/inception_score.py` in NVlabs/stylegan2.
"""

import itertools
from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.checks import require_finite


class InceptionScore(NamedTuple):
    """Mean and population standard deviation over the splits."""

    mean: float
    std: float


def inception_score(
    logits: np.ndarray, *, splits: int = 10, seed: int | None = None
) -> InceptionScore:
    """`exp(mean KL(p(class | image) | p(class)))`: 1 to the number of classes.

    `logits` are `[N, K]`; the official score takes them without the last layer's bias.
    Each of the `splits` has a score; part i starts at image `i * N // splits`. A `seed`
    permutes images by `RandomState(seed).permutation(N)`.
    """
    count = len(logits)
    if not 1 <= splits <= count:
        raise UserError(
            f"inception score of {count} images in {splits} parts; "
            "every part needs an image"
        )
    require_finite(logits, "logits")
    x = np.asarray(logits, np.float64)
    if seed is not None:
        x = x[np.random.RandomState(seed).permutation(count)]
    x = x - x.max(axis=1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    edges = [i * count // splits for i in range(splits + 1)]
    scores = [_score(log_p[start:end]) for start, end in itertools.pairwise(edges)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(log_p: np.ndarray) -> float:
    p = np.exp(log_p)
    marginal = p.mean(axis=0)
    # A class that no image has: 0 log 0 = 0.
    log_marginal = np.log(np.where(marginal > 0, marginal, 1))
    return float(np.exp(np.sum(p * (log_p - log_marginal), axis=1).mean()))
