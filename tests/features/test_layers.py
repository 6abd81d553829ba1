import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.features.frozen_layers import max_pool, resize_tf1


def brute_force(images, height, width):
    """Every pixel by itself, in float64."""
    n, old_height, old_width, c = images.shape
    result = np.zeros((n, height, width, c))
    for row in range(height):
        for column in range(width):
            y, x = row * old_height / height, column * old_width / width
            top, left = int(y), int(x)
            below, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            dy, dx = y - top, x - left
            result[:, row, column] = (
                (1 - dy) * (1 - dx) * images[:, top, left]
                + (1 - dy) * dx * images[:, top, right]
                + dy * (1 - dx) * images[:, below, left]
                + dy * dx * images[:, below, right]
            )
    return result


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(11, 3), (7, 5), (16, 16), (1, 1), (4, 10)])
def test_resizing_agrees_with_one_pixel_at_a_time(size):
    images = np.random.RandomState(0).rand(2, 7, 5, 3)
    found = resize_tf1(jnp.asarray(images, jnp.float32), *size)
    np.testing.assert_allclose(found, brute_force(images, *size), atol=2e-6)


def test_the_same_size_changes_nothing_and_a_ramp_ends_flat():
    ramp = jnp.arange(4.0)[None, None, :, None]
    np.testing.assert_array_equal(resize_tf1(ramp, 1, 4), ramp)
    want = [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]  # not -0.25 or 0.25 at the start
    np.testing.assert_array_equal(resize_tf1(ramp, 1, 8)[0, 0, :, 0], want)


def test_the_last_window_of_an_even_side_may_hang_over_the_edge():
    x = np.random.RandomState(0).randn(1, 6, 5, 2).astype(np.float32)
    for ceil, rows in ((True, 3), (False, 2)):
        found = max_pool(jnp.asarray(x), 3, 2, ceil=ceil)
        assert found.shape == (1, rows, 2, 2)
        for i, j in np.ndindex(rows, 2):
            window = x[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_array_equal(found[0, i, j], window.max((0, 1)))
