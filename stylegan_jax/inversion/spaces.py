"""Where latents live, and where a search begins.

| space | variable | moves |
|---|---|---|
| z | `[N, 1, z_dim]` | one input latent for all layers |
| z+ | `[N, L, z_dim]` | one per layer |
| w | `[N, 1, w_dim]` | one w for all layers |
| w+ | `[N, L, w_dim]` | one per layer |

Noise is a space of its own (`fit.fit_noise`).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.networks.generator import Generator

Space = Literal["z", "z+", "w", "w+"]
SPACES: tuple[Space, ...] = ("z", "z+", "w", "w+")


class Statistics(NamedTuple):
    """Of w: `mean` `[w_dim]`, and `std`, a scalar, the root of the mean squared
    distance from it."""

    mean: Array
    std: Array


def to_ws(
    generator: Generator, latent: Array, space: Space, labels: Array | None = None
) -> Array:
    """One w per layer of a variable, `[N, L or 1, dim]` to `[N, L or 1, w_dim]`.

    Args:
        generator: whose mapping is applied to z.
        latent: as the table above says.
        space: of the variable.
        labels: `[N or 1, label_size]`, of conditional networks in z.
    """
    if space in ("w", "w+"):
        return latent
    count, rows, dim = latent.shape
    if labels is not None:
        size = labels.shape[-1]
        labels = jnp.broadcast_to(labels[:, None], (count, rows, size))
        labels = labels.reshape(-1, size)
    ws = generator.map(latent.reshape(-1, dim), labels)
    return ws[:, 0].reshape(count, rows, -1)


def w_statistics(
    generator: Generator,
    *,
    count: int = 10_000,
    seed: int = 123,
    labels: np.ndarray | None = None,
) -> Statistics:
    """Mean and spread of w.

    The spread is `sqrt(sum ||w - mean||^2 / count)`: that of a vector, sqrt(w_dim)
    times that of a number. Only one row is looked at, for all are equal.

    Source: `w_avg` and `w_std` of NVlabs/stylegan2-ada-pytorch, `projector.py`.
    """
    z = np.random.RandomState(seed).randn(count, generator.config.z_dim)

    @jax.jit
    def moments(generator: Generator, z: Array) -> tuple[Array, Array]:
        given = None
        if labels is not None:
            given = jnp.broadcast_to(labels, (count, labels.shape[-1]))
        w = generator.map(z, given)[:, 0]
        mean = w.mean(0)
        return mean, jnp.sqrt(jnp.sum((w - mean[None]) ** 2) / count)

    return Statistics(*moments(generator, z.astype(np.float32)))
