"""LPIPS v0.1, a learned perceptual distance, and the networks that it compares.

Images are float32 `[N, H, W, 3]` in [-1, 1]. The parameters have torchvision's names,
which determine the network; StyleGAN's measures take "vgg".

Sources: Zhang et al. 2018 and richzhang/PerceptualSimilarity (lpips 0.1.4,
`lpips/lpips.py`); Krizhevsky 2014; Iandola et al. 2016; `torchvision/models/alexnet.py`
and `squeezenet.py`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import vgg16, weights
from stylegan_jax.features.extractor import Params
from stylegan_jax.features.frozen_layers import conv_relu, max_pool, with_biases

Network = Literal["vgg", "alex", "squeeze"]

_VGG_TAPS = (3, 8, 15, 22, 29)
# Convolutions of AlexNet: index, channels in and out, kernel, stride, padding.
_CONVOLUTIONS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, "SAME"),
    (6, 192, 384, 3, 1, "SAME"),
    (8, 384, 256, 3, 1, "SAME"),
    (10, 256, 256, 3, 1, "SAME"),
)
# Fires of SqueezeNet: index, channels in, squeezed, and half of those out.
_FIRES = (
    (3, 64, 16, 64),
    (4, 128, 16, 64),
    (6, 128, 32, 128),
    (7, 256, 32, 128),
    (9, 256, 48, 192),
    (10, 384, 48, 192),
    (11, 384, 64, 256),
    (12, 512, 64, 256),
)
_FIRE_TAPS = (4, 7, 9, 10, 11, 12)


@dataclasses.dataclass(frozen=True)
class Trunk:
    """A network: its weights, shapes in PyTorch's layout, and activations' widths."""

    name: str
    source: weights.WeightFile
    shapes: dict[str, tuple[int, ...]]
    widths: tuple[int, ...]
    activations: Callable[[Params, Array], list[Array]]


def _vgg(params: Params, x: Array) -> list[Array]:
    return [*vgg16.taps(params, x, _VGG_TAPS).values()]


def _alex(params: Params, x: Array) -> list[Array]:
    found: list[Array] = []
    for index, _, _, _, stride, padding in _CONVOLUTIONS:
        if index in (3, 6):
            x = max_pool(x, 3, 2)
        x = conv_relu(params, f"features.{index}", x, stride=stride, padding=padding)
        found.append(x)
    return found


def _squeeze(params: Params, x: Array) -> list[Array]:
    x = conv_relu(params, "features.0", x, stride=2, padding="VALID")
    found = [x]
    for index, *_ in _FIRES:
        if index in (3, 6, 9):
            x = max_pool(x, 3, 2, ceil=True)
        name = f"features.{index}"
        x = conv_relu(params, f"{name}.squeeze", x)
        sides = [conv_relu(params, f"{name}.expand{k}x{k}", x) for k in (1, 3)]
        x = jnp.concatenate(sides, axis=-1)
        if index in _FIRE_TAPS:
            found.append(x)
    return found


def _squeeze_shapes() -> dict[str, tuple[int, ...]]:
    kernels = {"features.0": (64, 3, 3, 3)}
    for index, before, between, half in _FIRES:
        kernels[f"features.{index}.squeeze"] = (between, before, 1, 1)
        for k in (1, 3):
            kernels[f"features.{index}.expand{k}x{k}"] = (half, between, k, k)
    return with_biases(kernels)


_ALEX_KERNELS = {f"features.{i}": (o, n, k, k) for i, n, o, k, *_ in _CONVOLUTIONS}
TRUNKS: dict[Network, Trunk] = {
    "vgg": Trunk("vgg16", weights.VGG16, vgg16.shapes(dense=False), vgg16.WIDTHS, _vgg),
    "squeeze": Trunk(
        "squeezenet1_1",
        weights.SQUEEZENET,
        _squeeze_shapes(),
        (64, 128, 256, 384, 384, 512, 512),
        _squeeze,
    ),
    "alex": Trunk(
        "alexnet",
        weights.ALEXNET,
        with_biases(_ALEX_KERNELS),
        (64, 192, 384, 256, 256),
        _alex,
    ),
}

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
