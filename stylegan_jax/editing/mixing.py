"""Mixing, morphing and arithmetic of codes, and features of another image.

Sources: Karras et al. 2018 (StyleGAN), section 3.1, for mixing; Abdal et al. 2019
(Image2StyleGAN) for morphing and expression transfer, 2020 (Image2StyleGAN++), `I_att`,
"attribute level feature transfer", for features behind a layer's style.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from stylegan_jax.editing.masks import resize
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, stored_noise
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops import latents

# The paper's layer; its activations are of 8 px.
LAYER = 4

Combine = Callable[[Array, Array], Array]
# Rows of a difference that are shorter do not move; for w of 512 numbers.
THRESHOLD = 1.0


def code_of_z(
    generator: Generator,
    z: ArrayLike,
    psi: float = 0.7,
    *,
    cutoff: int | None = 8,
    labels: ArrayLike | None = None,
    edit: Callable[[Array], Array] | None = None,
) -> Code:
    """Codes of input latents `[N, z_dim]`, truncated, with the stored noise.

    `psi` and `cutoff` are as of `Generator.sample`, `labels` `[N, label_size]`; `edit`
    changes ws `[N, L, w_dim]` before truncation.
    """
    z = jnp.asarray(z)
    ws = generator.map(z, None if labels is None else jnp.asarray(labels))
    ws = ws if edit is None else edit(ws)
    if generator.truncation_mean is not None:
        ws = latents.truncate(ws, generator.truncation_mean, psi, cutoff)
    return Code(ws, stored_noise(generator, len(z)))


def concatenate(codes: Sequence[Code]) -> Code:
    """One code of all images."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *codes)


def mix(content: Code, style: Code, rows: Sequence[int]) -> Code:
    """`content` with some rows (from 0) of `style`; noise stays the content's."""
    latents.check_ws(style.ws, *content.ws.shape[1:])
    count = max(len(content), len(style))
    content, style = (
        jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape[1:])), code)
        for code in (content, style)
    )
    return Code(_replaced(content.ws, style.ws, rows), content.noise)


def _replaced(ws: Array, other: Array, rows: Sequence[int]) -> Array:
    chosen = np.isin(np.arange(ws.shape[1]), np.asarray(rows, int))
    return jnp.where(chosen[None, :, None], other, ws)


def scale_style(
    code: Code, w_avg: Array, factor: Array | float, rows: Sequence[int]
) -> Code:
    """The code with `mean + factor (w - mean)` in some rows; `w_avg` is `[w_dim]`.

    Source: the truncation trick, Karras et al. 2018, appendix B, for any rows.
    """
    latents.check_ws(code.ws, w_dim=w_avg.shape[0])
    mean = w_avg[None, None]
    scaled = mean + factor * (code.ws - mean)
    return Code(_replaced(code.ws, scaled, rows), code.noise)


def difference(start: Code, end: Code, threshold: float = THRESHOLD) -> Array:
    """`end - start`, `[N, L, w_dim]`; rows with an L2 norm below `threshold` are 0."""
    latents.check_ws(end.ws, *start.ws.shape[1:])
    change = end.ws - start.ws
    norms = jnp.linalg.norm(change, axis=-1, keepdims=True)
    return jnp.where(norms < threshold, 0.0, change)


def transfer_expression(
    subject: Code,
    neutral: Code,
    expressive: Code,
    strength: Array | float = 1.0,
    threshold: float = THRESHOLD,
) -> Code:
    """The subject with another person's expression: `w1 + t (w3 - w2)`.

    w1 is `subject`, whose noise stays; w2 and w3 are `neutral` and `expressive`.
    """
    latents.check_ws(neutral.ws, *subject.ws.shape[1:])
    change = difference(neutral, expressive, threshold)
    return Code(subject.ws + strength * change, subject.noise)


def morph(first: Code, second: Code, t: ArrayLike) -> Code:
    """Codes of T images on the line between two codes of one image, noise included.

    `t` is `[T]`; 0 gives exactly the first code, 1 the second.

    Differs: the paper's weight counts from the second image.
    """
    latents.check_ws(second.ws, *first.ws.shape[1:])

    def between(a: Array, b: Array) -> Array:
        weight = jnp.asarray(t, a.dtype).reshape(-1, *[1] * (a.ndim - 1))
        return (1 - weight) * a + weight * b

    return jax.tree.map(between, first, second)


def morph_z(first: Array, second: Array, t: ArrayLike) -> Array:
    """Input latents on the great circle between two `[1, z_dim]`, lengths linear."""
    lengths = [jnp.linalg.norm(z, axis=-1, keepdims=True) for z in (first, second)]
    weight = jnp.asarray(t, first.dtype)[:, None]
    frames = (weight.shape[0], first.shape[1])
    a, b = jnp.broadcast_to(first, frames), jnp.broadcast_to(second, frames)
    return latents.slerp(a, b, weight) * latents.lerp(lengths[0], lengths[1], weight)


def stops(
    count: int, frames: int, *, ease: bool = True, loop: bool = False
) -> np.ndarray:
    """Positions of a film's frames on a path through `count` codes.

    float64 `[frames * legs + 1]`, in a loop `[frames * legs]`: the integer part is the
    index of the code left behind, the fraction t, eased by `3 t^2 - 2 t^3`.
    """
    legs = count if loop else count - 1
    t = np.arange(frames) / frames
    t = t * t * (3 - 2 * t) if ease else t
    path = (np.arange(legs)[:, None] + t[None, :]).ravel()
    return path if loop else np.append(path, float(legs))


# --- Features of another image -------------------------------------------------------


def transfer(
    generator: Generator,
    first: Code,
    second: Code,
    combine: Combine,
    *,
    layers: int = LAYER,
    share: Array | float = 0.0,
) -> Array:
    """The first image with features of the second, float32 `[N, H, W, C]`.

    Features `[N, R, R, C]` of both are combined after some `layers`; everything behind
    is of the first, its latents interpolated by `share` towards the second's (paper:
    0).
    """
    own = generator.features(first.ws, first.noise, layers=layers)
    other = generator.features(second.ws, second.noise, layers=layers)
    ws = first.ws + share * (second.ws - first.ws)
    return generator.finish(combine(own, other), ws, first.noise, layers=layers)


def average(t: Array | float) -> Combine:
    """`(1 - t) A + t B` everywhere."""
    return lambda own, other: ((1 - t) * own + t * other).astype(own.dtype)


def copy_inside(mask: Array) -> Combine:
    """`(1 - M) A + M B`; the mask `[1, H, W, 1]` is resampled by nearest neighbours."""
    return lambda own, other: average(resize(mask, own.shape[1]))(own, other)


def copy_channels(channels: Sequence[int]) -> Combine:
    """Some channels from the second, the others from the first."""

    def combine(own: Array, other: Array) -> Array:
        count = own.shape[-1]
        if not set(channels) <= set(range(count)):
            raise UserError(
                f"channels {list(channels)} are not some of 0 to {count - 1}"
            )
        return jnp.where(jnp.isin(jnp.arange(count), jnp.asarray(channels)), other, own)

    return combine


def masked_morph(
    generator: Generator,
    first: Code,
    second: Code,
    mask: Array,
    t: Array,
    *,
    layers: int = LAYER,
) -> Array:
    """Morph of the inside of a mask `[1, H, W, 1]`, float32 `[T, H, W, C]`.

    `t` is `[T]`, 0 the first image. It interpolates the latents behind `layers`;
    features outside and noise stay the first's. Both codes are of one image.
    """
    between = Code(morph(first, second, t).ws, first.noise)
    combine = copy_inside(mask)
    return transfer(generator, first, between, combine, layers=layers, share=1.0)
