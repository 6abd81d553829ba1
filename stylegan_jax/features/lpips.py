"""LPIPS v0.1 on VGG16: a distance between images that agrees with people's.

Features after five ReLUs are scaled to unit length per pixel; squared differences are
weighted by channel, averaged over pixels and summed over layers. Images are float32
`[N, H, W, 3]` in [-1, 1].

Source: Zhang et al. 2018 and richzhang/PerceptualSimilarity (lpips 0.1.4,
`lpips/lpips.py`).
"""

import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.features import vgg16, weights
from stylegan_jax.features.extractor import Params

TAPS = (3, 8, 15, 22, 29)
_WIDTHS = (64, 128, 256, 512, 512)

# Of images in [-1, 1]; nearly, but not quite, ImageNet's mean and deviation.
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_EPS = 1e-10  # beside the length, not under its root

Units = Sequence[Array]


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of the channels, in lpips's files."""
    return {
        f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in enumerate(_WIDTHS)
    }


def load(
    trunk: str | os.PathLike[str] | None = None,
    linear: str | os.PathLike[str] | None = None,
) -> dict[str, Array]:
    """Parameters of the published weights, or of your own copies of either file.

    Raises:
        UserError: they cannot be had, or a file holds something else.
    """
    weight = weights.load(weights.LPIPS_VGG, shapes(), path=linear)
    return vgg16.load(trunk) | _linear(weight)


def convert(
    trunk: Mapping[str, np.ndarray], linear: Mapping[str, np.ndarray]
) -> dict[str, Array]:
    """Parameters of VGG16's and lpips's arrays in PyTorch's layout; checks nothing."""
    return vgg16.convert(trunk) | _linear(linear)


def _linear(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    return {name: jnp.asarray(array.ravel()) for name, array in arrays.items()}


def units(params: Params, images: Array) -> tuple[Array, ...]:
    """Features of unit length, `[N, h, w, c]` for each layer.

    What is compared with the same image again and again needs them once: see
    `compare`.
    """
    x = (images - _SHIFT[None, None, None]) / _SCALE[None, None, None]
    found = vgg16.taps(params, x, TAPS)
    return tuple(_unit(found[index]) for index in TAPS)


def compare(params: Params, units_a: Units, units_b: Units) -> Array:
    """What each layer adds to the distance, `[N, 5]`, of two results of `units`."""
    maps = _difference_maps(params, units_a, units_b)
    return jnp.stack([layer.mean((1, 2)) for layer in maps], axis=1)


def layer_distances(params: Params, a: Array, b: Array) -> Array:
    """What each layer adds to the distance, `[N, 5]`."""
    return compare(params, units(params, a), units(params, b))


def distance(params: Params, a: Array, b: Array) -> Array:
    """LPIPS of pairs of images, `[N]`; 0 of an image and itself."""
    return layer_distances(params, a, b).sum(1)


def distance_map(params: Params, a: Array, b: Array) -> Array:
    """Where the images differ, `[N, H, W]`: the layers enlarged linearly and added.

    Source: `spatial=True` of lpips 0.1.4.
    """
    size = a.shape[:3]
    maps = _difference_maps(params, units(params, a), units(params, b))
    return sum(
        (jax.image.resize(layer, size, "linear", antialias=False) for layer in maps),
        jnp.zeros(size),
    )


def _unit(x: Array) -> Array:
    square = (x * x).sum(-1, keepdims=True)
    # The root has no derivative at 0, where ReLUs leave many a pixel.
    empty = square == 0
    length = jnp.where(empty, 0.0, jnp.sqrt(jnp.where(empty, 1.0, square)))
    return x / (length + _EPS)


def _difference_maps(params: Params, units_a: Units, units_b: Units) -> list[Array]:
    """The weighted squares, `[N, h, w]` for each layer."""
    return [
        ((a - b) ** 2 * params[f"lin{i}.model.1.weight"][None, None, None]).sum(-1)
        for i, (a, b) in enumerate(zip(units_a, units_b, strict=True))
    ]
