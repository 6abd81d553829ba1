"""torchvision's networks before their dense layers, as LPIPS takes them.

Parameters have torchvision's names; images are normalised, `[N, H, W, 3]`.

Sources: Simonyan & Zisserman 2015; Krizhevsky 2014; Iandola et al. 2016;
`torchvision/models/{vgg,alexnet,squeezenet}.py`.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import Array

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
