"""A first guess of w from how an image looks when it is small.

Many images are drawn by the network and shrunk, and w is regressed linearly on their
pixels. Seconds at 32 px; nothing is trained or kept.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from stylegan_jax.inversion.spaces import draw_noise
from stylegan_jax.networks.generator import Generator

SIDE = 16  # pixels of a side of what is looked at
# Share of the pixels' mean variance that is added to each: neighbouring pixels are
# nearly the same, and what only noise tells apart should count for nothing. Of the
# powers of ten this one begins nearest to pictures that the network has not drawn
# (docs/inversion.md).
STRENGTH = 0.1
_SAMPLES = 10_000
_BATCH_PIXELS = 2**18  # of the images that are drawn together


@struct.dataclass
class Regression:
    """`w = shrunk pixels @ weights + offset`.

    Attributes:
        weights: `[pixels, w_dim]`.
        offset: `[w_dim]`.
    """

    weights: Array
    offset: Array

    def __call__(self, images: Array) -> Array:
        """Guesses of w, `[N, w_dim]`, of images `[N, H, W, C]` in [-1, 1]."""
        x = shrunk(images)
        return jnp.dot(x, self.weights, precision="highest") + self.offset[None]


def shrunk(images: Array) -> Array:
    """What is looked at: means over blocks, no more than `SIDE` a side, `[N, pixels]`.

    Values beyond [-1, 1], which no photograph has, saturate.
    """
    count, side, _, channels = images.shape
    small = min(side, SIDE)
    blocks = images.reshape(count, small, side // small, small, side // small, channels)
    return jnp.clip(blocks, -1, 1).mean((2, 4)).reshape(count, -1)


def ridge(x: np.ndarray, y: np.ndarray, strength: float = STRENGTH) -> Regression:
    """Minimises `mean |x @ weights + offset - y|^2 + penalty |weights|^2`.

    In float64. The offset is free, and the penalty is `strength` times the mean
    variance of the columns of `x`.

    Args:
        x: `[samples, pixels]`.
        y: `[samples, w_dim]`.
        strength: 0 is least squares.

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
    seed: int = 123,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws images with noise of their own, not truncated.

    Args:
        generator: what draws them.
        count: of images.
        seed: of latents and noise.
        labels: `[1, label_size]`, the class of all, of a conditional network.

    Returns:
        `shrunk` images `[count, pixels]`, and their w `[count, w_dim]`, float32.
    """
    config = generator.config
    batch = int(np.clip(_BATCH_PIXELS // generator.resolution**2, 1, 256))
    rounds = -(-count // batch)
    z = np.random.RandomState(seed).randn(rounds, batch, config.z_dim)
    keys = jax.random.split(jax.random.key(seed), (rounds, batch))

    @jax.jit
    def draw(generator: Generator, z: Array, keys: Array) -> tuple[Array, Array]:
        given = None
        if labels is not None:
            given = jnp.broadcast_to(labels, (batch, labels.shape[-1]))
        ws = generator.map(z, given)
        images = generator.synthesize(ws, draw_noise(generator, keys))
        return shrunk(images), ws[:, 0]

    drawn = [draw(generator, z[i].astype(np.float32), keys[i]) for i in range(rounds)]
    pixels, ws = (np.concatenate(part)[:count] for part in zip(*drawn, strict=True))
    return pixels, ws


def regression(generator: Generator, *, labels: np.ndarray | None = None) -> Regression:
    """Of a network; the same for the same network.

    Args:
        generator: whose w is guessed.
        labels: as of `samples`.
    """
    return ridge(*samples(generator, labels=labels))
