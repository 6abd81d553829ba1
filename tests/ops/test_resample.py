import jax
import numpy as np
import pytest

from stylegan_jax.ops import convolution, resample


def draw(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def transposed_convolution(x, kernel):
    """The official fused up-convolution: stride-2 `conv2d_transpose`, in float64."""
    padded = np.pad(np.float64(kernel), ((1, 1), (1, 1), (0, 0), (0, 0)))
    wide = padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]
    n, h, w, _ = x.shape
    out = np.zeros((n, 2 * h + 2, 2 * w + 2, kernel.shape[3]))
    for i in range(h):
        for j in range(w):
            patch = np.einsum("nc,hwco->nhwo", np.float64(x[:, i, j]), wide)
            out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += patch
    return out[:, 1:-1, 1:-1]  # SAME: one pixel cut off on each side


def test_blur_of_ones_darkens_edges_to_three_quarters_and_corners_to_nine_sixteenths():
    y = resample.blur(np.ones((1, 5, 6, 2), np.float32))[0, :, :, 1]
    np.testing.assert_allclose(y[1:-1, 1:-1], 1)
    np.testing.assert_allclose([y[0, 2], y[-1, 2], y[2, 0], y[2, -1]], 0.75)
    np.testing.assert_allclose([y[0, 0], y[0, -1], y[-1, 0], y[-1, -1]], 0.5625)


def test_blur_of_a_point_is_the_binomial_filter():
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, 2, 2, 0] = 16
    expected = np.outer([1, 2, 1], [1, 2, 1])
    np.testing.assert_allclose(resample.blur(x)[0, 1:4, 1:4, 0], expected)


def test_upsample_repeats_pixels():
    x = draw(2, 3, 4, 5)
    expected = x.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(resample.upsample(x), expected)
    assert resample.upsample(x, 4).shape == (2, 12, 16, 5)


def test_four_times_downsample_is_the_transpose_of_upsample():
    x, y = draw(2, 3, 4, 5), draw(2, 6, 8, 5, seed=1)
    left = np.vdot(resample.upsample(x), y)
    right = np.vdot(x, 4 * resample.downsample(y))
    np.testing.assert_allclose(left, right, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_separate_up_convolution_is_upsampling_then_convolving(size):
    x, kernel = draw(2, size, size, 3), draw(3, 3, 3, 4, seed=1)
    expected = convolution.conv(resample.upsample(x), kernel)
    y = resample.upsample_conv(x, kernel, fused=False)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_fused_up_convolution_is_the_official_transposed_convolution():
    x, kernel = draw(2, 4, 5, 3), draw(3, 3, 3, 4, seed=1)
    y = resample.upsample_conv(x, kernel, fused=True)
    np.testing.assert_allclose(y, transposed_convolution(x, kernel), atol=1e-5)


def test_fused_and_separate_up_convolutions_differ_by_a_flip_of_the_kernel():
    x, kernel = draw(2, 4, 4, 3), draw(3, 3, 3, 4, seed=1)
    fused = resample.upsample_conv(x, kernel, fused=True)
    flipped = resample.upsample_conv(x, kernel[::-1, ::-1], fused=False)
    np.testing.assert_allclose(fused, flipped, atol=1e-5)
    assert np.abs(fused - resample.upsample_conv(x, kernel, fused=False)).max() > 1


def test_down_convolution_is_convolving_then_averaging():
    x, kernel = draw(2, 8, 6, 3), draw(3, 3, 3, 4, seed=1)
    expected = resample.downsample(convolution.conv(x, kernel))
    y = resample.conv_downsample(x, kernel)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_resampling_convolutions_have_the_derivatives_of_their_parts():
    x, kernel = draw(1, 4, 4, 2), draw(3, 3, 2, 2, seed=1)

    def up(x, kernel):
        return (resample.upsample_conv(x, kernel, fused=False) ** 3).sum()

    def parts(x, kernel):
        return (convolution.conv(resample.upsample(x), kernel) ** 3).sum()

    ours = jax.grad(up, argnums=(0, 1))(x, kernel)
    theirs = jax.grad(parts, argnums=(0, 1))(x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
