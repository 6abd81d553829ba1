"""Between two codes, and on from one to the next.

`t` is `[T]`, one number per frame: 0 gives the first code, 1 the second.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from stylegan_jax.inversion.code import Code, check_alike
from stylegan_jax.ops import latents


def morph(first: Code, second: Code, t: ArrayLike) -> Code:
    """The codes on the straight line from one to another, noise included.

    Args:
        first: of one image.
        second: of one image.
        t: `[T]`.

    Returns:
        The code of T images; at t of 0 and 1 exactly the given ones.

    Source: Abdal et al. 2019 (Image2StyleGAN), morphing. Their weight counts from the
    second image.
    """

    check_alike(first, second)

    def between(a: Array, b: Array) -> Array:
        weight = jnp.asarray(t, a.dtype).reshape(-1, *[1] * (a.ndim - 1))
        return (1 - weight) * a + weight * b

    return jax.tree.map(between, first, second)


def morph_z(first: Array, second: Array, t: ArrayLike) -> Array:
    """Input latents along the great circle from one to another.

    Args:
        first: `[1, z_dim]`.
        second: `[1, z_dim]`.
        t: `[T]`.

    Returns:
        `[T, z_dim]`, as long as the latents are on average. Mappings that normalise
        z take no notice of the length.
    """
    lengths = [jnp.linalg.norm(z, axis=-1, keepdims=True) for z in (first, second)]
    weight = jnp.asarray(t, first.dtype)[:, None]
    frames = (weight.shape[0], first.shape[1])
    a, b = jnp.broadcast_to(first, frames), jnp.broadcast_to(second, frames)
    return latents.slerp(a, b, weight) * latents.lerp(lengths[0], lengths[1], weight)


def stops(
    count: int, frames: int, *, ease: bool = True, loop: bool = False
) -> np.ndarray:
    """Where on a path through `count` codes each frame of a film is.

    Args:
        count: of codes, at least 2.
        frames: from one code to the next.
        ease: starts and stops softly at every code (`3 t^2 - 2 t^3`).
        loop: goes back to the first at the end.

    Returns:
        float64 `[frames * legs + 1]`, `[frames * legs]` in a loop: the whole part is
        the number of the code left behind, the rest is t.
    """
    legs = count if loop else count - 1
    t = np.arange(frames) / frames
    t = t * t * (3 - 2 * t) if ease else t
    path = (np.arange(legs)[:, None] + t[None, :]).ravel()
    return path if loop else np.append(path, float(legs))
