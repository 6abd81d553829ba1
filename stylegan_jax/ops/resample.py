"""Resampling by factors of two, alone and fused with a 3x3 convolution.

Images are `[N, H, W, C]`, kernels `[3, 3, C_in, C_out]`. `Source:` names functions of
NVlabs/stylegan, `training/networks_stylegan.py`.

Fused forms compute a 2x2 convolution at the low resolution, with the four pixels of
a cell stacked as channels: 2.25 times fewer multiplications, and derivatives of any
order are dense stride-1 convolutions, which keep the size.
"""

import jax.numpy as jnp
from jax import Array, lax

from stylegan_jax.ops.convolution import correlate


def blur(x: Array) -> Array:
    """Smooths with the binomial filter [1, 2, 1], zeros beyond the edges; in float32.

    Edges fall to 3/4 and corners to 9/16. Source: `blur2d`.
    """
    y = x.astype(jnp.float32)
    for axis in (1, 2):
        after = lax.slice_in_dim(y, 1, None, axis=axis)
        before = lax.slice_in_dim(y, 0, y.shape[axis] - 1, axis=axis)
        y = 0.5 * y + 0.25 * (_pad(after, axis, 0, 1) + _pad(before, axis, 1, 0))
    return y.astype(x.dtype)


def upsample(x: Array, factor: int = 2) -> Array:
    """Nearest-neighbour upsampling. Source: `upscale2d`."""
    if factor == 1:
        return x
    n, h, w, c = x.shape
    cells = jnp.broadcast_to(x[:, :, None, :, None], (n, h, factor, w, factor, c))
    return cells.reshape(n, h * factor, w * factor, c)


def downsample(x: Array, factor: int = 2) -> Array:
    """Box-filter downsampling. Source: `downscale2d`."""
    if factor == 1:
        return x
    n, h, w, c = x.shape
    cells = x.reshape(n, h // factor, factor, w // factor, factor, c)
    return cells.mean(axis=(2, 4))


def upsample_conv(x: Array, kernel: Array, *, fused: bool) -> Array:
    """Doubles the resolution and convolves: `[N, H, W, I]` to `[N, 2H, 2W, O]`.

    `fused` False is `conv(upsample(x), kernel)`. True, used by official networks from
    128 pixels on, flips the kernel along H and W. Source: `upscale2d_conv2d`.
    """
    n, h, w, _ = x.shape
    c_in, c_out = kernel.shape[2:]
    wide = _widen(kernel if fused else kernel[::-1, ::-1])
    # Output pixel 2m - 1 + s is made of input pixels m - 1 and m (tap t = 0, 1) with
    # element 2 (1 - t) + s of the widened kernel.
    taps = wide.reshape(2, 2, 2, 2, c_in, c_out)[::-1, :, ::-1]
    taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2, c_in, 4 * c_out)
    x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    cells = correlate(x, taps, (1, 0))
    cells = cells.reshape(n, h + 1, w + 1, 2, 2, c_out).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(n, 2 * h + 2, 2 * w + 2, c_out)[:, 1:-1, 1:-1]


def conv_downsample(x: Array, kernel: Array) -> Array:
    """`downsample(conv(x, kernel))`: `[N, H, W, I]` to `[N, H/2, W/2, O]`.

    The official fused and separate forms agree here. Source: `conv2d_downscale2d`.
    """
    n, h, w, c_in = x.shape
    c_out = kernel.shape[3]
    # 2x2 cells of the padded image as channels.
    cells = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    cells = cells.reshape(n, h // 2 + 1, 2, w // 2 + 1, 2, c_in)
    cells = cells.transpose(0, 1, 3, 2, 4, 5)
    cells = cells.reshape(n, h // 2 + 1, w // 2 + 1, 4 * c_in)
    taps = (_widen(kernel) * 0.25).reshape(2, 2, 2, 2, c_in, c_out)
    taps = taps.transpose(0, 2, 1, 3, 4, 5).reshape(2, 2, 4 * c_in, c_out)
    return correlate(cells, taps, (0, 1))[:, :-1, :-1]


def _widen(kernel: Array) -> Array:
    """Convolves a 3x3 kernel with a 2x2 box of ones: `[4, 4, I, O]`."""
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    return padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]


def _pad(x: Array, axis: int, before: int, after: int) -> Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return jnp.pad(x, widths)
