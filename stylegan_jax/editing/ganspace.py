"""Principal components of w (GANSpace): an edit is `w + x V std` in a range of layers.

Source: Harkonen et al. 2020, "GANSpace", section 2.1 and 2.3; harskish/ganspace.
Differs: the exact covariance in float64, where the official incremental PCA forgets
what does not fit its components.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.progress import track

from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.sefa import principal_axes
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import draws
from stylegan_jax.metrics.draws import LabelDistribution, draw_labels
from stylegan_jax.metrics.frechet import RunningStatistics, Statistics
from stylegan_jax.networks.generator import Generator

_TOGETHER = 4096  # latents mapped by one call


def statistics_of_w(
    generator: Generator,
    count: int,
    *,
    labels: LabelDistribution | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Statistics:
    """Mean and covariance of w; sample i of `count` depends on `seed` and i alone."""

    running = RunningStatistics(generator.config.w_dim)
    together = min(count, _TOGETHER)
    starts = range(0, count, max(together, 1))
    for start in track(starts, "samples of w", disable=quiet):
        indices = jnp.arange(start, start + together, dtype=jnp.uint32)
        ws = _draw_ws(seed, generator, labels, indices)
        running.add(np.asarray(ws)[: count - start])
    return running.statistics()


@partial(jax.jit, static_argnums=0)
def _draw_ws(
    seed: int, generator: Generator, labels: LabelDistribution | None, indices: Array
) -> Array:
    keys = draws.sample_keys(seed, indices, 2)
    z = draws.draw_normal(keys[0], generator.config.z_dim)
    return generator.map(z, draw_labels(generator, labels, keys[1]))[:, -1]


def principal_directions(
    statistics: Statistics, number: int = 10, layers: Sequence[int] | None = None
) -> list[Direction]:
    """The first principal components, pca1, pca2, ..., with their `std`.

    Their planes go through the mean, so an absolute distance is a coordinate.
    """
    vectors, values = principal_axes(statistics.covariance)
    limit = max(len(values) * np.finfo(np.float64).eps * values[0], 0.0)
    varying = min(int(np.sum(values > limit)), statistics.count - 1)
    if not 1 <= number <= varying:
        raise UserError(
            f"{number} principal components of {statistics.count} samples; w varies in "
            f"{varying} dimensions"
        )
    shares = values / values.sum()
    return [
        Direction(
            name=f"pca{i + 1}",
            vector=vectors[i],
            layers=None if layers is None else tuple(layers),
            intercept=float(-statistics.mean @ vectors[i]),
            std=float(np.sqrt(values[i])),
            provenance=f"PCA of {statistics.count} w, {shares[i]:.2%} of the variance",
        )
        for i in range(number)
    ]


def with_std_of(direction: Direction, statistics: Statistics) -> Direction:
    """The direction with the standard deviation of samples along it (1 in z)."""
    if direction.space == "z":
        return dataclasses.replace(direction, std=1.0)
    if direction.dim != len(statistics.mean):
        raise UserError(
            f"direction {direction.name!r} has {direction.dim} numbers and this "
            f"network's w {len(statistics.mean)}; it belongs to another network"
        )
    # Layers of a sample are equal.
    along = direction.mean_row
    std = float(np.sqrt(along @ statistics.covariance @ along))
    return dataclasses.replace(direction, std=std or None)
