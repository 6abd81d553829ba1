"""Terms of local edits: masked perceptual terms, and colours of a region."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import struct
from jax import Array

from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.objective import FeatureNets
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io.summary import short_repr

# Makes a term of target images and a mask.
MakeTerm = Callable[[Array, Array | None], Term]

PIXEL_WEIGHT = 1e-5


@struct.dataclass
class Hidden:
    """A term of images whose masked-out part is grey."""

    term: Term
    visible: Array  # [N or 1, H, W, 1]

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        return self.term(self.visible * images, code)


@struct.dataclass
class ColourTerm:
    """Mean squared difference of `colour_gram`, a style without a feature network."""

    target: Array  # [N, C + 1, C + 1]
    mask: Array  # [N or 1, H, W, 1]

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        return jnp.mean((colour_gram(images, self.mask) - self.target) ** 2, (1, 2))


def colour_term(target: Array, mask: Array | None) -> ColourTerm:
    """The term of the colours of target images inside a mask."""
    mask = jnp.ones_like(target[:1, :, :, :1]) if mask is None else mask
    return ColourTerm(colour_gram(target, mask), mask)


def colour_gram(images: Array, mask: Array) -> Array:
    """Masked mean of the outer products of (R, G, B, 1): `[N, C + 1, C + 1]`."""
    pixels = jnp.concatenate([images, jnp.ones_like(images[..., :1])], -1)
    mask = jnp.broadcast_to(mask, (*images.shape[:3], 1))
    moments = jnp.einsum("nhwc,nhwd,nhwe->ncd", pixels, pixels, mask)
    return moments / jnp.sum(mask, (1, 2, 3))[:, None, None]


def make_perceptual(features: FeatureNets) -> MakeTerm | None:
    """The perceptual term of the available network.

    LPIPS and custom networks have no masked features: outside the mask images are grey.
    """
    if features.vgg16 is not None:
        params = features.vgg16
        return lambda target, mask: terms.perceptual_term(target, params, mask=mask)
    if features.lpips is not None:
        weight = PIXEL_WEIGHT * terms.LEVELS**2
        make = functools.partial(terms.lpips_term, params=features.lpips, weight=weight)
    elif features.own is not None:
        make = functools.partial(
            terms.feature_term, network=features.own, weight=PIXEL_WEIGHT
        )
    else:
        return None
    return lambda target, mask: (
        make(target) if mask is None else Hidden(make(mask * target), mask)
    )
