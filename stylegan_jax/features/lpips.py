"""LPIPS v0.1, a learned perceptual distance.

Images are float32 `[N, H, W, 3]` in [-1, 1]. The names of the parameters determine the
network; StyleGAN's measures take "vgg".

Source: Zhang et al. 2018 and richzhang/PerceptualSimilarity (lpips 0.1.4,
`lpips/lpips.py`).
"""

import os
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.features.extractor import Params
from stylegan_jax.features.imagenet import TRUNKS, Network

# Of images in [-1, 1]; nearly, but not quite, ImageNet's mean and deviation.
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_EPS = 1e-10  # beside the length, not under its root

Units = Sequence[Array]


def shapes(network: Network = "vgg") -> dict[str, tuple[int, ...]]:
    """Shapes of the channel weights by name, as in lpips's files."""
    widths = enumerate(TRUNKS[network].widths)
    return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in widths}


def load(
    network: Network = "vgg",
    *,
    trunk: str | os.PathLike[str] | None = None,
    linear: str | os.PathLike[str] | None = None,
) -> dict[str, Array]:
    """Parameters of the published weights, or of copies; `trunk` is the network's."""
    if network not in TRUNKS:
        raise UserError(
            f"LPIPS has no network {network!r}; they are {', '.join(sorted(TRUNKS))}"
        )
    whole, unused = TRUNKS[network], ("classifier.",)
    channels = weights.load(weights.LPIPS[network], shapes(network), path=linear)
    arrays = weights.load(whole.source, whole.shapes, path=trunk, unused=unused)
    return convert(arrays, channels)


def convert(
    trunk: Mapping[str, np.ndarray], linear: Mapping[str, np.ndarray]
) -> dict[str, Array]:
    """Parameters of both files' arrays in PyTorch's layout, unchecked."""
    flat = {name: array.ravel() for name, array in linear.items()}
    return weights.parameters({**trunk, **flat})


def units(params: Params, images: Array) -> tuple[Array, ...]:
    """Features of unit length, `[N, h, w, c]` per layer, to be reused by `compare`."""
    known = [x for x in TRUNKS.values() if params.keys() >= x.shapes.keys()]
    if not known:
        raise UserError("these are not LPIPS's parameters; lpips.load has them")
    x = (images - _SHIFT[None, None, None]) / _SCALE[None, None, None]
    return tuple(_unit(layer) for layer in known[0].activations(params, x))


def compare(params: Params, units_a: Units, units_b: Units) -> Array:
    """Distance per layer, `[N, L]`, of two results of `units`."""
    layers = [
        ((a - b) ** 2 * params[f"lin{i}.model.1.weight"][None, None, None]).sum(-1)
        for i, (a, b) in enumerate(zip(units_a, units_b, strict=True))
    ]
    return jnp.stack([layer.mean((1, 2)) for layer in layers], axis=1)


def layer_distances(params: Params, a: Array, b: Array) -> Array:
    """Distance per layer, `[N, L]`; VGG16 has five."""
    return compare(params, units(params, a), units(params, b))


def distance(params: Params, a: Array, b: Array) -> Array:
    """LPIPS of pairs of images, `[N]`."""
    return layer_distances(params, a, b).sum(1)


def _unit(x: Array) -> Array:
    square = (x * x).sum(-1, keepdims=True)
    # The root has no derivative at 0, common after ReLUs.
    empty = square == 0
    length = jnp.where(empty, 0.0, jnp.sqrt(jnp.where(empty, 1.0, square)))
    return x / (length + _EPS)
