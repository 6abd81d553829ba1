"""Bilinear resizing as TensorFlow 1 does it, which the 2015 networks were fed by."""

import jax.numpy as jnp
import numpy as np
from jax import Array


def resize_tf1(images: Array, height: int, width: int) -> Array:
    """Samples images on another grid; neither antialiased nor half a pixel shifted.

    Pixel `i` of the result lies at `i * (old / new)` of the original, and its upper
    neighbour ends at the edge. Scale, positions and blends are float32, as there.

    Args:
        images: float32 `[N, H, W, C]`.
        height: of the result.
        width: of the result.

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
