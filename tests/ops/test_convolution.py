import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stylegan_jax.ops import convolution

CASES = [(3, (1, 1)), (2, (0, 1)), (2, (1, 0)), (3, (0, 2)), (2, (0, 0)), (1, (0, 0))]


def brute_force(x, kernel, padding):
    """The definition, in float64 loops over output pixels."""
    size = kernel.shape[0]
    x = np.pad(np.float64(x), ((0, 0), padding, padding, (0, 0)))
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    out = np.zeros((x.shape[0], height, width, kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            patch = x[:, i : i + size, j : j + size]
            out[:, i, j] = np.einsum("nhwc,hwco->no", patch, np.float64(kernel))
    return out


def plain(x, kernel, padding):
    """The same convolution, with the derivatives that JAX finds itself."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        (padding, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def inputs(size):
    draw = np.random.RandomState(size)
    x = draw.randn(2, 5, 6, 3).astype(np.float32)
    return x, draw.randn(size, size, 3, 4).astype(np.float32)


@pytest.mark.parametrize(("size", "padding"), CASES)
def test_correlate_is_its_definition(size, padding):
    x, kernel = inputs(size)
    y = convolution.correlate(x, kernel, padding)
    np.testing.assert_allclose(y, brute_force(x, kernel, padding), atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(("size", "padding"), CASES)
def test_first_and_second_derivatives_are_those_of_the_plain_convolution(size, padding):
    x, kernel = inputs(size)

    def derivatives(conv):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(conv(x, kernel, padding)))

        first = jax.grad(loss, argnums=(0, 1))

        def penalty(x, kernel):
            by_x, by_kernel = first(x, kernel)
            return jnp.sum(by_x**2) + jnp.sum(jnp.cos(by_kernel))

        second = jax.grad(penalty, argnums=(0, 1))
        return jax.jit(lambda *inputs: (*first(*inputs), *second(*inputs)))(x, kernel)

    ours, theirs = derivatives(convolution.correlate), derivatives(plain)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(("size", "padding"), CASES)
def test_kernel_gradient_and_its_derivatives_are_those_of_the_plain_one(size, padding):
    x, kernel = inputs(size)
    dy = np.random.RandomState(9).randn(*plain(x, kernel, padding).shape).astype("f")

    def by_jax(x, dy, padding):
        return jax.vjp(lambda k: plain(x, k, padding), kernel)[1](dy)[0]

    def derivatives(function):
        def loss(x, dy):
            return jnp.sum(jnp.sin(function(x, dy, padding)))

        return function(x, dy, padding), *jax.grad(loss, argnums=(0, 1))(x, dy)

    ours, theirs = derivatives(convolution.kernel_gradient), derivatives(by_jax)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_conv_keeps_the_size_and_is_zero_beyond_the_edges():
    x, kernel = inputs(3)
    expected = brute_force(x, kernel, (1, 1))
    np.testing.assert_allclose(convolution.conv(x, kernel), expected, atol=1e-5)
