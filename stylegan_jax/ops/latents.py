"""Operations on latents and noise. Axes: N batch, L layers, D latent dimensions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError

_PARALLEL = 1e-6  # sine of the angle between directions that count as one line


def latents_of_seed(seed: int, z_dim: int) -> np.ndarray:
    """Input latent of a seed, float32 `[1, z_dim]`.

    Source: `generate_figures.py`, NVlabs/stylegan.
    """
    return np.random.RandomState(seed).randn(1, z_dim).astype(np.float32)


def check_ws(
    ws: Array | np.ndarray, num_ws: int | None = None, w_dim: int | None = None
) -> None:
    """Raises UserError unless `ws` is `[N, num_ws, w_dim]`; None allows any size."""
    shape = np.shape(ws)
    wide = bool(shape) and w_dim in (None, shape[-1])
    deep = len(shape) > 1 and num_ws in (None, shape[-2])
    if len(shape) == 3 and wide and deep:
        return
    layers = "L" if num_ws is None else num_ws
    size = "w_dim" if w_dim is None else w_dim
    if len(shape) == 2 and wide and deep:
        hint = "for one image: ws[None]"
    elif wide and shape[1:-1] in ((), (1,)):
        hint = f"for one w in all layers: w.reshape(-1, 1, {size}).repeat({layers}, 1)"
    elif len(shape) == 3:
        hint = "this belongs to another network"
    else:
        hint = "one w per layer and image"
    raise UserError(
        f"w codes of shape {list(shape)} are not [N, {layers}, {size}]; {hint}"
    )


def lerp(a: Array, b: Array, t: Array | float) -> Array:
    """Interpolates linearly: `a` at `t = 0`, `b` at `t = 1`."""
    return a + (b - a) * t


def slerp(a: Array, b: Array, t: Array | float) -> Array:
    """Interpolates along the great circle between the directions of `a` and `b`.

    `[..., D]` each; the result has unit length, also for equal or opposite directions.
    Source: `slerp` of NVlabs/stylegan, `metrics/perceptual_path_length.py`.
    """
    a, b = _unit(a), _unit(b)
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    across = b - cosine * a
    sine = jnp.linalg.norm(across, axis=-1, keepdims=True)
    # Equal or opposite directions have no unique great circle: take the one towards
    # the axis farthest from both.
    axis = jax.nn.one_hot(jnp.argmin(jnp.abs(a), axis=-1), a.shape[-1], dtype=a.dtype)
    upright = _unit(axis - jnp.sum(axis * a, axis=-1, keepdims=True) * a)
    across = jnp.where(sine < _PARALLEL, upright, _unit(across))
    angle = t * jnp.arctan2(sine, cosine)
    return _unit(a * jnp.cos(angle) + across * jnp.sin(angle))


def _unit(x: Array) -> Array:
    length = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.where(length == 0, 1.0, length)


def truncate(
    ws: Array, w_avg: Array, psi: Array | float, cutoff: int | None = None
) -> Array:
    """Moves `ws` `[N, L, D]` towards their mean `[D]` (the truncation trick).

    `psi` 1 leaves them as they are, 0 gives the mean; layers from `cutoff` on are left
    alone. Source: "Truncation trick" in `G_style`, NVlabs/stylegan; Karras et al. 2018,
    appendix B.
    """
    check_ws(ws, w_dim=w_avg.shape[0])
    num_layers = ws.shape[1]
    layer = jnp.arange(num_layers)[None, :, None]
    strength = jnp.where(layer < (num_layers if cutoff is None else cutoff), psi, 1.0)
    return lerp(w_avg[None, None, :], ws, strength)


def mix_styles(ws_1: Array, ws_2: Array, crossover: Array | int) -> Array:
    """Takes layers below `crossover` from `ws_1`, the others from `ws_2`, `[N, L, D]`.

    `crossover` is a scalar or `[N, 1, 1]`. Raises UserError for other shapes. Source:
    "StyleMix" in `G_style`; Karras et al. 2018, section 3.1.
    """
    check_ws(ws_1)
    check_ws(ws_2, *ws_1.shape[1:])
    layer = jnp.arange(ws_1.shape[1])[None, :, None]
    return jnp.where(layer < crossover, ws_1, ws_2)


def draw_crossover(key: Array, probability: float, num_layers: int) -> Array:
    """Draws the crossover layer of style mixing, one scalar per minibatch.

    Uniform in {1, ..., num_layers - 1} with `probability` (0.9 in the paper), else
    `num_layers` (no mixing); `num_layers` counts the *active* ones. Source: "StyleMix"
    in `G_style`, NVlabs/stylegan.
    """
    mix_key, layer_key = jax.random.split(key)
    crossover = jax.random.randint(layer_key, (), 1, num_layers)
    mixes = jax.random.uniform(mix_key) < probability
    return jnp.where(mixes, crossover, num_layers)


def noise_sizes(num_layers: int) -> list[int]:
    """Side of each layer's noise image, in pixels."""
    return [2 ** (layer // 2 + 2) for layer in range(num_layers)]


def draw_noise(key: Array, batch_size: int, num_layers: int) -> tuple[Array, ...]:
    """Draws unit normal noise images, `[batch_size, R, R, 1]`, one per layer.

    Layer `i` works at `R = 2 ** (i // 2 + 2)` pixels. Source: "Noise inputs" in
    `G_synthesis`, NVlabs/stylegan.
    """
    sizes = noise_sizes(num_layers)
    ends = list(itertools.accumulate(size**2 for size in sizes))
    # One draw for all layers: a random generator per layer is slow to compile.
    flat = jax.random.normal(key, (batch_size, ends[-1] if ends else 0))
    parts = jnp.split(flat, ends[:-1], axis=1) if ends else []
    return tuple(
        part.reshape(batch_size, size, size, 1)
        for part, size in zip(parts, sizes, strict=True)
    )
