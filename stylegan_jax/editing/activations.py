"""Feature transfer: activations of two images combined at a layer.

The features behind a layer's style are combined; the network continues with the latents
and noise of the first.

Source: Abdal et al. 2020 (Image2StyleGAN++), `I_att`, "attribute level feature
transfer".
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.editing.masks import resize
from stylegan_jax.editing.mixing import morph
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code
from stylegan_jax.networks.generator import Generator

# The paper's layer; its activations are of 8 px.
LAYER = 4

Combine = Callable[[Array, Array], Array]


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

    Args:
        first: gives everything behind the features.
        combine: of the features `[N, R, R, C]` of both.
        layers: number of layers before the features are taken.
        share: interpolates the latents behind the features towards those of the second;
            0 in the paper.
    """
    own = generator.features(first.ws, first.noise, layers=layers)
    other = generator.features(second.ws, second.noise, layers=layers)
    ws = first.ws + share * (second.ws - first.ws)
    return generator.finish(combine(own, other), ws, first.noise, layers=layers)


def copy_inside(mask: Array) -> Combine:
    """`(1 - M) A + M B`; the mask `[1, H, W, 1]` is resampled by nearest neighbours."""
    return attribute(1 - mask, 1 - mask)


def attribute(mask_1: Array, mask_2: Array) -> Combine:
    """The paper's `M1 A + (1 - M2) B`; masks as in `copy_inside`."""

    def combine(own: Array, other: Array) -> Array:
        size = own.shape[1]
        inside, hidden = (resize(m, size) for m in (mask_1, mask_2))
        return (inside * own + (1 - hidden) * other).astype(own.dtype)

    return combine


def average(t: float) -> Combine:
    """`(1 - t) A + t B` everywhere."""
    return lambda own, other: ((1 - t) * own + t * other).astype(own.dtype)


def copy_channels(channels: Sequence[int]) -> Combine:
    """Some channels from the second, the others from the first."""

    def combine(own: Array, other: Array) -> Array:
        count = own.shape[-1]
        outside = [channel for channel in channels if not 0 <= channel < count]
        if outside:
            raise UserError(
                f"channel {outside[0]} is not one of the {count} of this layer"
            )
        taken = np.isin(np.arange(count), np.asarray(channels, int))
        return jnp.where(taken[None, None, None], other, own)

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
    between = morph(first, second, t)
    between = Code(between.ws, first.noise)
    own = generator.features(first.ws, first.noise, layers=layers)
    moved = generator.features(between.ws, first.noise, layers=layers)
    features = copy_inside(mask)(jnp.broadcast_to(own, moved.shape), moved)
    return generator.finish(features, between.ws, first.noise, layers=layers)
