"""Spaces of latents, and starts of a search.

| space | variable | moves |
|---|---|---|
| z | `[N, 1, z_dim]` | one input latent for all layers |
| z+ | `[N, L, z_dim]` | one per layer |
| w | `[N, 1, w_dim]` | one w for all layers |
| w+ | `[N, L, w_dim]` | one per layer |

A search begins at the mean of w, at random, at an encoder's estimate (`encoder.py`), or
at a linear regression's guess from the shrunk image, which takes seconds at 32 px and
stores nothing.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from stylegan_jax.metrics.draws import draw_noise
from stylegan_jax.networks.generator import Generator

Space = Literal["z", "z+", "w", "w+"]
Start = Literal["mean", "random", "uniform", "regressed", "encoder"]
SPACES: tuple[Space, ...] = ("z", "z+", "w", "w+")

SIDE = 16  # pixels of a side that the regression sees
# Ridge penalty as a share of the pixels' mean variance, because neighbouring pixels are
# nearly equal. The best power of ten for real pictures (docs/results.md).
STRENGTH = 0.1
_SAMPLES, _SEED = 10_000, 123
_BATCH_PIXELS = 2**18  # of the images that are drawn together


class Statistics(NamedTuple):
    """Statistics of w."""

    mean: Array
    std: Array  # a scalar, the root of the mean squared distance from the mean
    deviations: Array  # [w_dim], of each component
    nearest_z: Array  # [z_dim], the z whose w was nearest to the mean
    farthest: Array  # the largest `deviation` of the samples, a scalar


def to_ws(
    generator: Generator, latent: Array, space: Space, labels: Array | None = None
) -> Array:
    """w of a variable: `[N, L or 1, dim]` to `[N, L or 1, w_dim]`."""
    if space in ("w", "w+"):
        return latent
    count, rows, dim = latent.shape
    if labels is not None:
        labels = jnp.broadcast_to(labels[:, None], (count, rows, labels.shape[-1]))
        labels = labels.reshape(count * rows, -1)
    ws = generator.map(latent.reshape(-1, dim), labels)
    return ws[:, 0].reshape(count, rows, -1)


def w_statistics(
    generator: Generator,
    *,
    count: int = _SAMPLES,
    labels: np.ndarray | None = None,
) -> Statistics:
    """Mean and spread of w over `count` samples.

    The spread is `sqrt(sum ||w - mean||^2 / count)`, that of a vector.

    Source: `w_avg` and `w_std` of NVlabs/stylegan2-ada-pytorch, `projector.py`.
    """
    z = np.random.RandomState(_SEED).randn(count, generator.config.z_dim)

    @jax.jit
    def moments(generator: Generator, z: Array) -> Statistics:
        w = generator.map(z, _repeated(labels, count))[:, 0]
        mean = w.mean(0)
        squares = (w - mean[None]) ** 2
        length = squares.sum(1)
        variances = squares.mean(0)
        farthest = jnp.sqrt((squares / variances[None]).mean(1).max())
        std, deviations = jnp.sqrt(length.mean()), jnp.sqrt(variances)
        return Statistics(mean, std, deviations, z[length.argmin()], farthest)

    return moments(generator, z.astype(np.float32))


def every_class(generator: Generator, count: int = _SAMPLES) -> np.ndarray | None:
    """Labels `[count, label_size]` with all classes in turn; None without classes."""
    size = generator.config.label_size
    return np.eye(size, dtype=np.float32)[np.arange(count) % size] if size else None


def deviation(statistics: Statistics, ws: Array) -> Array:
    """How far latents `[N, L, w_dim]` are from the mean, in standard deviations, `[N]`.

    The root mean square over components, each in its own deviation: samples have about
    1 and at most `farthest`. Beyond it a network draws what it was not trained to, and
    edits break.
    """
    return jnp.sqrt(squared_deviation(statistics, ws))


def squared_deviation(statistics: Statistics, ws: Array) -> Array:
    """The square of `deviation`, `[N]`; it has a derivative at the mean."""
    away = (ws - statistics.mean[None, None]) / statistics.deviations[None, None]
    return jnp.mean(away**2, (1, 2))


def start_latent(
    generator: Generator,
    keys: Array,
    *,
    space: Space,
    start: Start,
    statistics: Statistics,
    labels: Array | None = None,
    guesses: Mapping[str, Array] = MappingProxyType({}),
) -> Array:
    """The start of a search, `[N, 1 or L, dim]`.

    `keys` are typed, `[N]`; an image's start depends on its own key only. "mean" is
    that of w (or the z whose w is nearest to it); "random" maps one z per image, in
    conditional networks with `labels` `[N or 1, label_size]`; "uniform" draws numbers
    in [-1, 1], the paper's start for non-faces; "regressed" and "encoder" are
    `guesses`, `[N, 1 or L, w_dim]`, in w their mean over rows.
    """
    config, count = generator.config, len(keys)
    in_z = space.startswith("z")
    dim = config.z_dim if in_z else config.w_dim
    rows = config.num_ws if space.endswith("+") else 1
    if start == "uniform":
        draw = partial(jax.random.uniform, minval=-1.0, maxval=1.0)
        return jax.vmap(lambda key: draw(key, (rows, dim)))(keys)
    if start in ("regressed", "encoder"):
        latent = guesses[start]
        latent = latent.mean(1, keepdims=True) if rows == 1 else latent
    elif start == "mean":
        latent = (statistics.nearest_z if in_z else statistics.mean)[None, None]
    else:
        z = jax.vmap(lambda key: jax.random.normal(key, (1, config.z_dim)))(keys)
        latent = z if in_z else to_ws(generator, z, "z", labels)
    return jnp.broadcast_to(latent, (count, rows, dim))


# --- Regression ----------------------------------------------------------------------


@struct.dataclass
class Regression:
    """`w = shrunk pixels @ weights + offset`."""

    weights: Array  # [pixels, w_dim]
    offset: Array  # [w_dim]

    def __call__(self, images: Array) -> Array:
        """Guesses of w, `[N, 1, w_dim]`, for images `[N, H, W, C]` in [-1, 1]."""

        def guess(image: Array) -> Array:
            x = shrunk(image[None])
            return jnp.dot(x, self.weights, precision="highest") + self.offset[None]

        # One at a time: a guess does not depend on the other images.
        return jax.lax.map(guess, images)


def shrunk(images: Array) -> Array:
    """Block means of clipped images, at most `SIDE` blocks a side: `[N, pixels]`."""
    count, side, _, channels = images.shape
    small = min(side, SIDE)
    blocks = images.reshape(count, small, side // small, small, side // small, channels)
    return jnp.clip(blocks, -1, 1).mean((2, 4)).reshape(count, -1)


def ridge(x: np.ndarray, y: np.ndarray, strength: float = STRENGTH) -> Regression:
    """Minimises `mean |x @ weights + offset - y|^2 + penalty |weights|^2` in float64.

    x is `[N, pixels]`, y `[N, w_dim]`, the penalty `strength` times the mean variance
    of the columns of `x`; the offset is not penalised.

    Source: Hoerl and Kennard 1970.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    mean_x, mean_y = x.mean(0), y.mean(0)
    x = x - mean_x
    square = x.T @ x / len(x)
    penalty = strength * np.trace(square) / len(square)
    square[np.diag_indices_from(square)] += penalty
    weights = np.linalg.solve(square, x.T @ (y - mean_y) / len(x))
    offset = mean_y - mean_x @ weights
    return Regression(jnp.asarray(weights, jnp.float32), jnp.float32(offset))


def samples(
    generator: Generator,
    *,
    count: int = _SAMPLES,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`shrunk` images `[count, pixels]` and their w `[count, w_dim]`, float32.

    Untruncated, with random noise; all are of the class of `labels`, `[1, label_size]`.
    """
    config = generator.config
    batch = int(np.clip(_BATCH_PIXELS // generator.resolution**2, 1, 256))
    rounds = -(-count // batch)
    z = np.random.RandomState(_SEED).randn(rounds, batch, config.z_dim)
    keys = jax.random.split(jax.random.key(_SEED), (rounds, batch))

    @jax.jit
    def draw(generator: Generator, z: Array, keys: Array) -> tuple[Array, Array]:
        ws = generator.map(z, _repeated(labels, batch))
        images = generator.synthesize(ws, draw_noise(generator, keys))
        return shrunk(images), ws[:, 0]

    drawn = [draw(generator, z[i].astype(np.float32), keys[i]) for i in range(rounds)]
    pixels, ws = (np.concatenate(part)[:count] for part in zip(*drawn, strict=True))
    return pixels, ws


def regression(generator: Generator, *, labels: np.ndarray | None = None) -> Regression:
    """The regression of a network; deterministic."""
    return ridge(*samples(generator, labels=labels))


def _repeated(labels: np.ndarray | None, count: int) -> Array | None:
    if labels is None:
        return None
    return jnp.broadcast_to(labels, (count, labels.shape[-1]))
