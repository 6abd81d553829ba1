"""AlexNet (Krizhevsky 2014) as torchvision has it, as far as LPIPS looks at it.

Parameters go by torchvision's names. Source: `torchvision/models/alexnet.py`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from stylegan_jax.features.extractor import Params

# Of each convolution: its index, channels in and out, kernel, stride and padding.
_CONVOLUTIONS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)
_POOLED_BEFORE = (3, 6)
WIDTHS = tuple(width for _, _, width, *_ in _CONVOLUTIONS)


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes, in PyTorch's layout, of what is used of a file."""
    table: dict[str, tuple[int, ...]] = {}
    for index, before, width, size, _, _ in _CONVOLUTIONS:
        table[f"features.{index}.weight"] = (width, before, size, size)
        table[f"features.{index}.bias"] = (width,)
    return table


def activations(params: Params, x: Array) -> tuple[Array, ...]:
    """Outputs of the five ReLUs, of normalised images `[N, H, W, 3]`."""
    found: list[Array] = []
    for index, _, _, _, stride, padding in _CONVOLUTIONS:
        if index in _POOLED_BEFORE:
            window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")
        x = lax.conv_general_dilated(
            x,
            params[f"features.{index}.weight"],
            window_strides=(stride, stride),
            padding=[(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + params[f"features.{index}.bias"][None, None, None])
        found.append(x)
    return tuple(found)
