"""Stride-1 convolutions and their derivatives of any order.

Images are `[N, H, W, C]`, kernels `[K, K, C_in, C_out]`, `Padding` the zeros before
and after each of H and W.

Derivatives are written by hand so that every convolution has this layout. JAX's own
permute dimensions, which XLA's CPU backend runs by a naive loop inside `lax.scan`,
some fifty times slower. Forward mode (`jax.jvp`) is not available.
"""

import functools
from typing import Any

import jax
from jax import Array, lax

Padding = tuple[int, int]
# Any: type checkers cannot follow the wrapper.
_own_derivative: Any = functools.partial(jax.custom_vjp, nondiff_argnums=(2,))


def conv(x: Array, kernel: Array) -> Array:
    """Same-size convolution with zero padding and an odd kernel.

    `[N, H, W, I]` and `[K, K, I, O]` to `[N, H, W, O]`. Source: `conv2d`,
    NVlabs/stylegan, without its weights.
    """
    margin = kernel.shape[0] // 2
    return correlate(x, kernel, (margin, margin))


@_own_derivative
def correlate(x: Array, kernel: Array, padding: Padding) -> Array:
    """Correlation: `out[p] = sum over k of x[p + k - before] * kernel[k]`.

    `[N, H, W, I]` and `[K, K, I, O]` to `[N, H', W', O]` with
    `H' = H + before + after - K + 1`. On a CPU, any other output size than the input's
    is slow: a derivative has a window larger than its input.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=(padding, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@_own_derivative
def kernel_gradient(x: Array, dy: Array, padding: Padding) -> Array:
    """Derivative of `sum(correlate(x, kernel, padding) * dy)` by the kernel."""
    # Batch and channels exchange roles.
    y = correlate(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), padding)
    return y.transpose(1, 2, 0, 3)


def _image_gradient(dy: Array, kernel: Array, padding: Padding) -> Array:
    reach = kernel.shape[0] - 1
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return correlate(dy, turned, (reach - padding[0], reach - padding[1]))


def _correlate_fwd(
    x: Array, kernel: Array, padding: Padding
) -> tuple[Array, tuple[Array, Array]]:
    return correlate(x, kernel, padding), (x, kernel)


def _correlate_bwd(
    padding: Padding, inputs: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = inputs
    return _image_gradient(dy, kernel, padding), kernel_gradient(x, dy, padding)


def _kernel_gradient_fwd(
    x: Array, dy: Array, padding: Padding
) -> tuple[Array, tuple[Array, Array]]:
    return kernel_gradient(x, dy, padding), (x, dy)


def _kernel_gradient_bwd(
    padding: Padding, inputs: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    # Bilinear: each derivative is a convolution by the cotangent.
    x, dy = inputs
    return _image_gradient(dy, cotangent, padding), correlate(x, cotangent, padding)


correlate.defvjp(_correlate_fwd, _correlate_bwd)
kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)
