"""SqueezeNet 1.1 (Iandola et al. 2016) as torchvision has it, for LPIPS.

Parameters go by torchvision's names. Source: `torchvision/models/squeezenet.py`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from stylegan_jax.features.extractor import Params

# Of each fire: its index, channels that come in, channels between, half of those out.
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
_POOLED_BEFORE = (3, 6, 9)
_TAPS = (4, 7, 9, 10, 11, 12)
_FIRST_WIDTH = 64
WIDTHS = (_FIRST_WIDTH, *(2 * half for i, _, _, half in _FIRES if i in _TAPS))


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes, in PyTorch's layout, of what is used of a file."""
    kernels = {"features.0": (_FIRST_WIDTH, 3, 3, 3)}
    for index, before, between, half in _FIRES:
        kernels[f"features.{index}.squeeze"] = (between, before, 1, 1)
        kernels[f"features.{index}.expand1x1"] = (half, between, 1, 1)
        kernels[f"features.{index}.expand3x3"] = (half, between, 3, 3)
    table: dict[str, tuple[int, ...]] = {}
    for name, shape in kernels.items():
        table[f"{name}.weight"], table[f"{name}.bias"] = shape, shape[:1]
    return table


def activations(params: Params, x: Array) -> tuple[Array, ...]:
    """Outputs of the first ReLU and six fires, of normalised images `[N, H, W, 3]`."""
    x = _convolved(params, "features.0", x, stride=2, padding="VALID")
    found = [x]
    for index, *_ in _FIRES:
        if index in _POOLED_BEFORE:
            x = _pooled(x)
        name = f"features.{index}"
        x = _convolved(params, f"{name}.squeeze", x)
        sides = [_convolved(params, f"{name}.expand{k}x{k}", x) for k in (1, 3)]
        x = jnp.concatenate(sides, axis=-1)
        if index in _TAPS:
            found.append(x)
    return tuple(found)


def _convolved(
    params: Params, name: str, x: Array, *, stride: int = 1, padding: str = "SAME"
) -> Array:
    x = lax.conv_general_dilated(
        x,
        params[f"{name}.weight"],
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.nn.relu(x + params[f"{name}.bias"][None, None, None])


def _pooled(x: Array) -> Array:
    """The largest of 3 x 3; an even side's last window hangs over the edge."""
    padding = [(0, 0), *((0, (size - 3) % 2) for size in x.shape[1:3]), (0, 0)]
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)
