"""AlexNet and SqueezeNet 1.1 of torchvision, as far as LPIPS needs them.

Sources: Krizhevsky 2014; Iandola et al. 2016; `torchvision/models/alexnet.py` and
`squeezenet.py`, whose names the parameters have.
"""

import jax.numpy as jnp
from jax import Array

from stylegan_jax.features.extractor import Params
from stylegan_jax.features.frozen_layers import conv_relu, max_pool, with_biases

# Convolutions: index, channels in and out, kernel, stride, padding.
_CONVOLUTIONS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, "SAME"),
    (6, 192, 384, 3, 1, "SAME"),
    (8, 384, 256, 3, 1, "SAME"),
    (10, 256, 256, 3, 1, "SAME"),
)
ALEX_WIDTHS = tuple(width for _, _, width, *_ in _CONVOLUTIONS)

# Fires: index, channels in, squeezed, and half of those out.
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
_TAPS = (4, 7, 9, 10, 11, 12)
SQUEEZE_WIDTHS = (64, *(2 * half for i, _, _, half in _FIRES if i in _TAPS))


def alex_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of AlexNet's parameters by name, in PyTorch's layout."""
    return with_biases(
        {f"features.{i}": (o, n, size, size) for i, n, o, size, *_ in _CONVOLUTIONS}
    )


def alex_activations(params: Params, x: Array) -> tuple[Array, ...]:
    """Outputs of the five ReLUs, of normalised images `[N, H, W, 3]`."""
    found: list[Array] = []
    for index, _, _, _, stride, padding in _CONVOLUTIONS:
        if index in (3, 6):
            x = max_pool(x, 3, 2)
        x = conv_relu(params, f"features.{index}", x, stride=stride, padding=padding)
        found.append(x)
    return tuple(found)


def squeeze_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of SqueezeNet's parameters by name, in PyTorch's layout."""
    kernels = {"features.0": (64, 3, 3, 3)}
    for index, before, between, half in _FIRES:
        kernels[f"features.{index}.squeeze"] = (between, before, 1, 1)
        kernels[f"features.{index}.expand1x1"] = (half, between, 1, 1)
        kernels[f"features.{index}.expand3x3"] = (half, between, 3, 3)
    return with_biases(kernels)


def squeeze_activations(params: Params, x: Array) -> tuple[Array, ...]:
    """Outputs of the first ReLU and six fires, of normalised images `[N, H, W, 3]`."""
    x = conv_relu(params, "features.0", x, stride=2, padding="VALID")
    found = [x]
    for index, *_ in _FIRES:
        if index in (3, 6, 9):
            x = max_pool(x, 3, 2, ceil=True)
        name = f"features.{index}"
        x = conv_relu(params, f"{name}.squeeze", x)
        sides = [conv_relu(params, f"{name}.expand{k}x{k}", x) for k in (1, 3)]
        x = jnp.concatenate(sides, axis=-1)
        if index in _TAPS:
            found.append(x)
    return tuple(found)
