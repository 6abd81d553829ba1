"""Terms that inversion and editing minimise.

A term maps images `[N, H, W, C]` in [-1, 1] and their `Code` to one number per image,
`[N]`. Those here are frozen pytrees; target features are computed once.

Units: differences of pixels are those of levels 0 to 255, as the weight 1e-5 of
Image2StyleGAN++ expects. Features are of torchvision's VGG16 (ImageNet-normalised
images), times 255, so that equal weights have Image2StyleGAN's proportion of pixels to
features (images in [0, 1]). A weight of 1e-5 here is 0.65 there.

Masks are `[N or 1, H, W, 1]` in [0, 1], 1 counts; None is 1 everywhere. They multiply
the difference before it is squared.

Source: Abdal et al. 2019 (Image2StyleGAN) and 2020 (Image2StyleGAN++), equation 1.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import included, lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.spaces import Statistics, squared_deviation
from stylegan_jax.io.summary import short_repr

Term = Callable[[Array, Code], Array]

LEVELS = 255.0  # between black and white
# ReLUs of VGG16: conv1_1, conv1_2, conv3_2, conv4_2 of Image2StyleGAN ...
IMAGE2STYLEGAN_LAYERS = (1, 3, 13, 20)
# ... conv1_1, conv1_2, conv2_2, conv3_3 of its second part, and conv3_3 for style.
IMAGE2STYLEGAN2_LAYERS = (1, 3, 8, 15)
STYLE_LAYERS = (15,)
# Of the included network beside 1e-5 of pixels: docs/results.md measures it.
INCLUDED_WEIGHT = 0.01
# Side of the images that feature networks get.
FEATURE_RESOLUTION = 256


def total(terms: Sequence[Term], images: Array, code: Code) -> Array:
    """The sum of all terms, `[N]`; UserError for a term of another shape."""
    values = [term(images, code) for term in terms]
    for term, value in zip(terms, values, strict=True):
        if jnp.shape(value) != images.shape[:1]:
            raise UserError(
                f"the term {term} returns {list(jnp.shape(value))}, not one number per "
                f"image, [{images.shape[0]}]: reduce over all axes but the first"
            )
    return sum(values, jnp.zeros(images.shape[0]))


def as_term(function: Term) -> Term:
    """A term as a pytree; plain functions are wrapped.

    Arrays that a function closes over are compiled in as constants; large ones belong
    in a `flax.struct` dataclass.
    """
    if not jax.tree_util.all_leaves([function]):
        return function
    if isinstance(function, Hashable):  # jit needs it
        return jax.tree_util.Partial(function)
    return jax.tree_util.Partial(lambda *args: function(*args))


# --- Pixels ------------------------------------------------------------------------


@struct.dataclass
class PixelTerm:
    """`weight / (H W C) ||mask (images - target)||^2`, in levels of 0 to 255.

    Two of them, with masks M and 1 - M, are the pixel terms of equation 1.
    """

    target: Array  # [N, H, W, C] in [-1, 1]
    mask: Array | None = None
    weight: Array | float = 1e-5

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        chex.assert_equal_shape([images, self.target])
        difference = (images - self.target) * (LEVELS / 2)
        if self.mask is not None:
            difference = self.mask * difference
        return self.weight * jnp.mean(difference**2, (1, 2, 3))


# --- Features ----------------------------------------------------------------------


@struct.dataclass
class FeatureTerm:
    """`weight` times a distance of features of images from those of a target."""

    target: Any  # features
    weight: Array | float
    params: Params
    distance: Callable[..., Array] = struct.field(pytree_node=False)  # (term, images)
    masks: tuple[Array, ...] | None = None  # one per layer
    layers: tuple[int, ...] = struct.field(pytree_node=False, default=())
    function: Any = struct.field(pytree_node=False, default=None)  # of your network

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        return self.weight * self.distance(self, images)


def perceptual_term(
    target: Array,
    params: Params,
    *,
    mask: Array | None = None,
    weight: Array | float = 1e-5,
    layers: Sequence[int] = IMAGE2STYLEGAN2_LAYERS,
) -> FeatureTerm:
    """`weight sum_j 1/N_j ||mask_j (F_j(images) - F_j(target))||^2`.

    F_j are ReLUs of VGG16 by their `layers`, indices in torchvision's, N_j their sizes.
    The target is `[N, H, W, C]` in [-1, 1], `params` are of `features.vgg16.load`; the
    mask is resampled to each layer (linear, antialiased).
    """
    found = vgg_features(params, target, layers)
    masks = masks_like(mask, found)
    return FeatureTerm(found, weight, params, _perceptual, masks, tuple(layers))


def _perceptual(term: FeatureTerm, images: Array) -> Array:
    return _squares(term, vgg_features(term.params, images, term.layers))


def included_term(
    target: Array,
    params: Params,
    *,
    mask: Array | None = None,
    weight: Array | float = INCLUDED_WEIGHT,
) -> FeatureTerm:
    """As `perceptual_term`, by the network of `features.included.load`.

    A pixel's features have a mean square of 1, so that the sum of the three layers is
    at most 6.
    """
    found = included.features(params, seen(target))
    return FeatureTerm(found, weight, params, _included, masks_like(mask, found))


def _included(term: FeatureTerm, images: Array) -> Array:
    return _squares(term, included.features(term.params, seen(images)))


def _squares(term: FeatureTerm, found: Sequence[Array]) -> Array:
    """Masked mean squares of each layer's differences, their sum `[N]`."""
    loss = jnp.zeros(found[0].shape[0])
    for j, (a, b) in enumerate(zip(found, term.target, strict=True)):
        difference = a - b if term.masks is None else term.masks[j] * (a - b)
        loss += jnp.mean(difference**2, (1, 2, 3))
    return loss


def style_term(
    target: Array,
    params: Params,
    *,
    mask: Array | None = None,
    weight: Array | float = 5e-7,
    layers: Sequence[int] = STYLE_LAYERS,
) -> FeatureTerm:
    """`weight mean(D / (C H W))^2`, D the difference of Gram matrices of features.

    A Gram matrix is `(mask F)^T (mask F)`, summed over pixels. The papers give no
    normalisation; this one is Barbershop's, of the same authors. Arguments are as of
    `perceptual_term`.
    """
    found = vgg_features(params, target, layers)
    masks = masks_like(mask, found)
    grams = _grams(found, masks)
    return FeatureTerm(grams, weight, params, _style, masks, tuple(layers))


def _style(term: FeatureTerm, images: Array) -> Array:
    found = vgg_features(term.params, images, term.layers)
    loss = jnp.zeros(images.shape[0])
    for features, a, b in zip(
        found, _grams(found, term.masks), term.target, strict=True
    ):
        loss += gram_distance(a, b, features.shape)
    return loss


def gram(features: Array, mask: Array | None = None) -> Array:
    """Masked `F^T F` of features `[N, H, W, C]`: `[N, C, C]`."""
    features = features if mask is None else mask * features
    return jnp.einsum("nhwc,nhwd->ncd", features, features)


def _grams(
    features: Sequence[Array], masks: Sequence[Array] | None
) -> tuple[Array, ...]:
    return tuple(map(gram, features, masks or [None] * len(features)))


def gram_distance(a: Array, b: Array, shape: Sequence[int]) -> Array:
    """The distance `[N]` of Gram matrices `[N, C, C]` of features of `shape`."""
    return jnp.mean(((a - b) / math.prod(shape[1:])) ** 2, (1, 2))


def lpips_term(
    target: Array, params: Params, *, weight: Array | float = 1.0
) -> FeatureTerm:
    """`weight` times LPIPS, with parameters of `features.lpips.load`."""
    return FeatureTerm(lpips.units(params, seen(target)), weight, params, _lpips)


def _lpips(term: FeatureTerm, images: Array) -> Array:
    found = lpips.units(term.params, seen(images))
    return lpips.compare(term.params, found, term.target).sum(1)


def feature_term(
    target: Array, network: FrozenNetwork, *, weight: Array | float = 1.0
) -> FeatureTerm:
    """`weight / size ||f(images) - f(target)||^2`; f takes floats of 0 to 255."""
    f, params = network.function, network.params
    return FeatureTerm(f(params, _levels(target)), weight, params, _own, function=f)


def _own(term: FeatureTerm, images: Array) -> Array:
    found = term.function(term.params, _levels(images))
    return jnp.mean((found - term.target) ** 2, 1)


def vgg_features(
    params: Params, images: Array, layers: Sequence[int]
) -> tuple[Array, ...]:
    """Outputs of ReLUs of VGG16, times 255, of images in [-1, 1]."""
    x = vgg16.normalise((seen(images) + 1) / 2)
    found = vgg16.taps(params, x, layers)
    return tuple(found[layer] * LEVELS for layer in layers)


def as_rgb(images: Array) -> Array:
    """`[N, H, W, 1 to 4]` as three channels, the transparent laid over grey.

    UserError for images of more channels.
    """
    count = images.shape[-1]
    if count > 4:
        raise UserError(
            f"images of {count} channels have no features or colours to compare, only "
            "those of 1 to 4: leave perceptual terms out"
        )
    if count in (2, 4):
        images = images[..., :-1] * (images[..., -1:] + 1) / 2
    return jnp.repeat(images, 3, -1) if images.shape[-1] == 1 else images


def seen(images: Array) -> Array:
    """Images at the size of frozen networks: RGB, at most 256 px."""
    images = as_rgb(images)
    factor = images.shape[1] // FEATURE_RESOLUTION
    if factor <= 1:
        return images
    count, side = images.shape[0], FEATURE_RESOLUTION
    return images.reshape(count, side, factor, side, factor, 3).mean((2, 4))


def _levels(images: Array) -> Array:
    return (seen(images) + 1) * (LEVELS / 2)


def masks_like(
    mask: Array | None, features: Sequence[Array]
) -> tuple[Array, ...] | None:
    """A mask `[N or 1, H, W, 1]` at the size of each layer `[N, h, w, C]`."""
    if mask is None:
        return None
    return tuple(
        jax.image.resize(
            mask, (mask.shape[0], *layer.shape[1:3], 1), "linear", antialias=True
        )
        for layer in features
    )


# --- Regularisers ------------------------------------------------------------------


@struct.dataclass
class StayTerm:
    """`weight ||ws - reference||`, not squared: scribbles of Image2StyleGAN++."""

    reference: Array  # [N or 1, L, w_dim]
    weight: Array | float = 0.01

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        square = jnp.sum((code.ws - self.reference) ** 2, (1, 2))
        # The root has no derivative at 0, where edits start.
        at_start = square == 0
        distance = jnp.sqrt(jnp.where(at_start, 1.0, square))
        return self.weight * jnp.where(at_start, 0.0, distance)


@struct.dataclass
class NearTerm:
    """`weight` times `spaces.squared_deviation`.

    Keeps latents where the network has learnt to draw, and edits of them work.
    """

    statistics: Statistics
    weight: Array | float = 1e-4

    __repr__ = short_repr

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        return self.weight * squared_deviation(self.statistics, code.ws)


@struct.dataclass
class NoiseWhiteTerm:
    """Decorrelates neighbouring noise at every scale down to 8 px.

    Source: `noise_reg` of NVlabs/stylegan2-ada-pytorch, `projector.py`, weight 1e5.
    """

    weight: Array | float = 1e5

    def __call__(self, images: Array, code: Code) -> Array:
        """`[N]`."""
        loss = jnp.zeros(images.shape[0])
        for noise in code.noise:
            loss += _correlation(noise)
        return self.weight * loss


def _correlation(noise: Array) -> Array:
    """Squared correlations of neighbours, summed over scales, `[N]`."""
    count, size = noise.shape[:2]
    loss = jnp.zeros(count)
    for _ in range(max(1, int(math.log2(size)) - 2)):
        for axis in (1, 2):
            shifted = jnp.roll(noise, 1, axis)
            loss += jnp.mean(noise * shifted, (1, 2, 3)) ** 2
        half = noise.shape[1] // 2
        noise = noise.reshape(count, half, 2, half, 2, 1).mean((2, 4))
    return loss
