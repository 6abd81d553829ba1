"""Where latents live, and where a search begins.

| space | variable | moves |
|---|---|---|
| z | `[N, 1, z_dim]` | one input latent for all layers |
| z+ | `[N, L, z_dim]` | one per layer |
| w | `[N, 1, w_dim]` | one w for all layers |
| w+ | `[N, L, w_dim]` | one per layer |

Noise is a space of its own (`fit.fit_noise`).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator, Noise

Space = Literal["z", "z+", "w", "w+"]
Start = Literal["mean", "random", "uniform", "regressed"]
SPACES: tuple[Space, ...] = ("z", "z+", "w", "w+")


class Statistics(NamedTuple):
    """Of w.

    Attributes:
        mean: `[w_dim]`.
        std: a scalar, the root of the mean squared distance from the mean.
        nearest_z: `[z_dim]`, the z whose w was nearest to the mean.
    """

    mean: Array
    std: Array
    nearest_z: Array


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
    def moments(generator: Generator, z: Array) -> Statistics:
        given = None
        if labels is not None:
            given = jnp.broadcast_to(labels, (count, labels.shape[-1]))
        w = generator.map(z, given)[:, 0]
        mean = w.mean(0)
        square = jnp.sum((w - mean[None]) ** 2, 1)
        return Statistics(mean, jnp.sqrt(square.mean()), z[square.argmin()])

    return moments(generator, z.astype(np.float32))


def start_latent(
    generator: Generator,
    keys: Array,
    *,
    space: Space,
    start: Start,
    statistics: Statistics,
    labels: Array | None = None,
    guess: Array | None = None,
) -> Array:
    """Where a search begins, `[N, 1 or L, dim]`, as the table of spaces says.

    Args:
        generator: whose latents they are.
        keys: `[N]`, typed; an image's start depends on its own key only.
        space: of the variable.
        start: "mean" is that of w (or the z whose w is nearest to it); "random" maps
            one z per image; "uniform" draws numbers in [-1, 1], the paper's start for
            pictures that are no faces; "regressed" is `guess`.
        statistics: of w.
        labels: `[N or 1, label_size]`, for "random" of conditional networks.
        guess: w of each image, `[N, w_dim]`, of `regression.Regression`.

    Raises:
        UserError: "regressed" in z or z+, or without a guess.
    """
    config, count = generator.config, len(keys)
    in_z = space.startswith("z")
    dim = config.z_dim if in_z else config.w_dim
    rows = config.num_ws if space.endswith("+") else 1
    if start == "uniform":
        draw = partial(jax.random.uniform, minval=-1.0, maxval=1.0)
        return jax.vmap(lambda key: draw(key, (rows, dim)))(keys)
    if start == "regressed":
        if in_z:
            raise UserError(
                "the start regressed is a guess of w; it goes with the spaces w and "
                f"w+, not {space}"
            )
        if guess is None:
            raise UserError("the start regressed needs a guess of w")
        return jnp.broadcast_to(guess[:, None], (count, rows, dim))
    if start == "mean":
        mean = statistics.nearest_z if in_z else statistics.mean
        return jnp.broadcast_to(mean[None, None], (count, rows, dim))
    z = jax.vmap(lambda key: jax.random.normal(key, (1, config.z_dim)))(keys)
    latent = z if in_z else to_ws(generator, z, "z", labels)
    return jnp.broadcast_to(latent, (count, rows, dim))


def draw_noise(generator: Generator, keys: Array) -> Noise:
    """Unit normal noise, `[N, R, R, 1]` each; an image's depends on its key only."""
    layers = jax.vmap(lambda key: generator.draw_noise(key, 1))(keys)
    return tuple(layer[:, 0] for layer in layers)
