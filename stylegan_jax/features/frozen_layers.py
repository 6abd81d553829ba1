"""Layers of the frozen networks, and TensorFlow 1's resizing, on `[N, H, W, C]`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from stylegan_jax.features.extractor import Params
from stylegan_jax.ops.convolution import conv


def conv_relu(
    params: Params, name: str, x: Array, *, stride: int = 1, padding: str | int = "SAME"
) -> Array:
    """Convolution by `NAME.weight` `[h, w, I, O]` and `NAME.bias`, then ReLU."""
    kernel = params[f"{name}.weight"]
    if stride == 1 and padding == "SAME" and kernel.shape[0] == kernel.shape[1]:
        x = conv(x, kernel)  # of a fast derivative
    else:
        x = lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(stride, stride),
            padding=[(padding, padding)] * 2 if isinstance(padding, int) else padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    return jax.nn.relu(x + params[f"{name}.bias"][None, None, None])


def max_pool(x: Array, size: int, stride: int, *, ceil: bool = False) -> Array:
    """Max pooling; with `ceil` the last window may exceed the edge."""
    over = [(side - size) % stride if ceil else 0 for side in x.shape[1:3]]
    padding = [(0, 0), *((0, rest and stride - rest) for rest in over), (0, 0)]
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def with_biases(kernels: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Kernel shapes in PyTorch's layout, by name, with those of biases."""
    table: dict[str, tuple[int, ...]] = {}
    for name, shape in kernels.items():
        table[f"{name}.weight"], table[f"{name}.bias"] = shape, shape[:1]
    return table


def resize_tf1(images: Array, height: int, width: int) -> Array:
    """Bilinear resizing of TensorFlow 1: no antialiasing, no half-pixel centres.

    Pixel `i` lies at `i * (old / new)` of the original. Scale, positions and blends are
    float32, as there.

    Source: `ResizeBilinear` with `align_corners=False`, TensorFlow 1 (kernels
    `image_resizer_state.h`, `resize_bilinear_op.cc`); torch-fidelity 0.4.0.
    """
    low, high, share = _neighbours(images.shape[2], width)
    left = images[:, :, low]
    rows = left + (images[:, :, high] - left) * share[None, None, :, None]
    low, high, share = _neighbours(images.shape[1], height)
    upper = rows[:, low]
    return upper + (rows[:, high] - upper) * share[None, :, None, None]


def _neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, Array]:
    position = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = position.astype(np.int32)
    return low, np.minimum(low + 1, old - 1), jnp.asarray(position - low, jnp.float32)
