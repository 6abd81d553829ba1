"""Operations on latents and noise.

Axes: N batch, L layers of the synthesis network, D latent dimensions.
"""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def latents_of_seed(seed: int, z_dim: int) -> np.ndarray:
    """The input latent of a seed, float32 `[1, z_dim]`.

    Source: `generate_figures.py`, NVlabs/stylegan.
    """
    return np.random.RandomState(seed).randn(1, z_dim).astype(np.float32)


def lerp(a: Array, b: Array, t: Array | float) -> Array:
    """Interpolates linearly: `a` at `t = 0`, `b` at `t = 1`."""
    return a + (b - a) * t


def slerp(a: Array, b: Array, t: Array | float) -> Array:
    """Interpolates along the great circle between the directions of `a` and `b`.

    `[..., D]` each; the result has unit length. Source: `slerp` of NVlabs/stylegan,
    `metrics/perceptual_path_length.py`.
    """
    a = a / jnp.linalg.norm(a, axis=-1, keepdims=True)
    b = b / jnp.linalg.norm(b, axis=-1, keepdims=True)
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    angle = t * jnp.arccos(cosine)
    across = b - cosine * a
    across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
    mixed = a * jnp.cos(angle) + across * jnp.sin(angle)
    return mixed / jnp.linalg.norm(mixed, axis=-1, keepdims=True)


def truncate(
    ws: Array, w_avg: Array, psi: Array | float, cutoff: int | None = None
) -> Array:
    """Moves latents towards their mean, layer by layer (the truncation trick).

    Args:
        ws: `[N, L, D]`.
        w_avg: `[D]`.
        psi: 1 leaves `ws` as they are, 0 gives the mean.
        cutoff: layers from this one on are left alone; None truncates all.

    Source: "Truncation trick" in `G_style`, NVlabs/stylegan; Karras et al. 2018,
    appendix B.
    """
    chex.assert_rank([ws, w_avg], [3, 1])
    num_layers = ws.shape[1]
    layer = jnp.arange(num_layers)[None, :, None]
    strength = jnp.where(layer < (num_layers if cutoff is None else cutoff), psi, 1.0)
    return lerp(w_avg[None, None, :], ws, strength)


def mix_styles(ws_1: Array, ws_2: Array, crossover: Array | int) -> Array:
    """Takes layers below `crossover` from `ws_1`, the others from `ws_2`.

    `[N, L, D]` each; `crossover` is a scalar or `[N, 1, 1]`.

    Source: "StyleMix" in `G_style`; Karras et al. 2018, section 3.1.
    """
    layer = jnp.arange(ws_1.shape[1])[None, :, None]
    return jnp.where(layer < crossover, ws_1, ws_2)


def draw_crossover(key: Array, probability: float, num_layers: int) -> Array:
    """Draws where style mixing changes from the first latent to the second.

    One scalar for the whole minibatch: uniform in {1, ..., num_layers - 1} with
    `probability`, else `num_layers` (no mixing).

    Args:
        key: a typed key.
        probability: 0.9 in the paper.
        num_layers: layers *active* at the current resolution.

    Source: "StyleMix" in `G_style`, NVlabs/stylegan.
    """
    mix_key, layer_key = jax.random.split(key)
    crossover = jax.random.randint(layer_key, (), 1, num_layers)
    mixes = jax.random.uniform(mix_key) < probability
    return jnp.where(mixes, crossover, num_layers)


def draw_noise(key: Array, batch_size: int, num_layers: int) -> tuple[Array, ...]:
    """Draws unit normal noise images, `[batch_size, R, R, 1]`, one per layer.

    Layer `i` works at `R = 2 ** (i // 2 + 2)` pixels. Source: "Noise inputs" in
    `G_synthesis`, NVlabs/stylegan.
    """
    sizes = [2 ** (layer // 2 + 2) for layer in range(num_layers)]
    ends = list(itertools.accumulate(size**2 for size in sizes))
    # One draw for all layers: a random generator per layer is slow to compile.
    flat = jax.random.normal(key, (batch_size, ends[-1] if ends else 0))
    parts = jnp.split(flat, ends[:-1], axis=1) if ends else []
    return tuple(
        part.reshape(batch_size, size, size, 1)
        for part, size in zip(parts, sizes, strict=True)
    )
