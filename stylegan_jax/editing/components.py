"""Directions without labels: of the weights (SeFa), or of samples of w (GANSpace).

SeFa: eigenvectors of `A A^T` with the largest eigenvalues, where styles are `w A + b`
and A has the style weights of some layers side by side, each column divided by its
length. GANSpace: principal components of w; an edit is `w + x V std` in some layers.

Sources: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs",
section 3; genforce/sefa, `factorize_weight` in `utils.py`. Harkonen et al. 2020,
"GANSpace", section 2.1 and 2.3; harskish/ganspace. Differs: a symmetric solver, so that
eigenvalues are real and ordered; signs are settled; the exact covariance in float64,
where the official incremental PCA forgets what does not fit its components.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.progress import track

from stylegan_jax.editing.directions import Direction
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import draws
from stylegan_jax.metrics.draws import LabelDistribution, draw_labels
from stylegan_jax.metrics.frechet import RunningStatistics, Statistics
from stylegan_jax.networks.generator import Generator

_TOGETHER = 4096  # latents mapped by one call


def principal_axes(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit eigenvectors `[D, D]` (rows) and eigenvalues `[D]` of a symmetric matrix.

    By falling eigenvalue; the entry largest in magnitude is positive.
    """
    values, columns = np.linalg.eigh(matrix)
    vectors = columns.T[::-1]
    largest = np.argmax(np.abs(vectors), axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), largest])
    return vectors * np.where(signs == 0, 1, signs)[:, None], values[::-1].copy()


# --- SeFa ----------------------------------------------------------------------------


def factorize(weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`principal_axes` of normalised matrices `[D, C]`, applied as `w @ weight`."""
    joined = np.concatenate([np.asarray(w, np.float64) for w in weights], axis=1)
    if not np.isfinite(joined).all():
        raise UserError("weights of the network are not finite: none can be factorised")
    lengths = np.linalg.norm(joined, axis=0, keepdims=True)
    joined = joined / np.where(lengths > 0, lengths, 1)  # a dead channel stays zero
    return principal_axes(joined @ joined.T)


def style_weights(
    generator: Generator, layers: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Style weights `[w_dim, 2 C]` of the layers, all by default.

    Layers above the active resolution count too. A network without styles has the
    weights `[w_dim, 16 C]` of its first layer.
    """
    config, params = generator.config, generator.params["synthesis"]
    if config.mlp_layers:
        raise UserError("a multi-layer perceptron has no styles to factorise")
    chosen = range(config.num_ws) if layers is None else layers
    if not len(chosen) or not set(chosen) <= set(range(config.num_ws)):
        raise UserError(
            f"layers {list(chosen)} are not some of 0 to {config.num_ws - 1}"
        )
    if not config.use_styles:
        return [np.asarray(params["block4"]["dense"]["weight"])]
    found = []
    for layer in chosen:
        block = params[f"block{2 ** (layer // 2 + 2)}"]
        first = ("const" if "const" in block else "dense", "conv")
        name = (first if layer < 2 else ("conv0", "conv1"))[layer % 2]
        found.append(np.asarray(block[name]["style"]["weight"]))
    return found


def sefa_directions(
    generator: Generator, number: int = 10, layers: Sequence[int] | None = None
) -> list[Direction]:
    """The first directions of the factorisation, called sefa1, sefa2, ...

    `layers` are those whose styles are factorised and where the directions act; all by
    default. The paper's groups at 1024 px are 0-1, 2-5 and 6-13.
    """
    if not 1 <= number <= generator.config.w_dim:
        raise UserError(
            f"{number} directions; w has {generator.config.w_dim}, and 1 is the least"
        )
    vectors, values = factorize(style_weights(generator, layers))
    where = "all layers" if layers is None else f"layers {list(layers)}"
    shares = values / values.sum()
    return [
        Direction(
            name=f"sefa{i + 1}",
            vector=vectors[i],
            layers=None if layers is None else tuple(layers),
            provenance=f"SeFa of {where}, {shares[i]:.2%} of the trace",
        )
        for i in range(number)
    ]


# --- GANSpace ------------------------------------------------------------------------


def statistics_of_w(
    generator: Generator,
    count: int = 20_000,
    *,
    labels: LabelDistribution | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Statistics:
    """Mean and covariance of w; sample i of `count` depends on `seed` and i alone."""
    running = RunningStatistics()
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


def principal_directions(statistics: Statistics, number: int = 10) -> list[Direction]:
    """The first principal components, pca1, pca2, ..., with their `std`.

    Their planes go through the mean, so an absolute distance is a coordinate.
    """
    vectors, values = principal_axes(statistics.covariance)
    limit = max(len(values) * np.finfo(np.float64).eps * values[0], 0.0)
    varying = min(int(np.sum(values > limit)), statistics.count - 1)
    if not 1 <= number <= varying:
        raise UserError(f"{number} components, and w varies in {varying} dimensions")
    shares = values / values.sum()
    return [
        Direction(
            name=f"pca{i + 1}",
            vector=vectors[i],
            intercept=float(-statistics.mean @ vectors[i]),
            std=float(np.sqrt(values[i])),
            provenance=f"PCA of {statistics.count} w, {shares[i]:.2%} of the variance",
        )
        for i in range(number)
    ]


def with_stds(
    generator: Generator,
    directions: Sequence[Direction],
    count: int = 20_000,
    **options: Any,
) -> list[Direction]:
    """The directions with the standard deviation of `count` samples along each."""
    if all(direction.std for direction in directions):
        return list(directions)
    statistics = statistics_of_w(generator, count, **options)
    return [d if d.std else with_std_of(d, statistics) for d in directions]


def with_std_of(direction: Direction, statistics: Statistics) -> Direction:
    """The direction with the standard deviation of samples along it (1 in z)."""
    if direction.space == "z":
        return dataclasses.replace(direction, std=1.0)
    direction.require_dim(len(statistics.mean))
    # Layers of a sample are equal.
    along = direction.mean_row
    std = float(np.sqrt(along @ statistics.covariance @ along))
    return dataclasses.replace(direction, std=std or None)
