import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.ops import growing


def coarse(x):
    """Every cell of 2x2 pixels replaced by its mean, in a loop."""
    out = np.empty(x.shape)
    for i in range(0, x.shape[1], 2):
        for j in range(0, x.shape[2], 2):
            cell = np.float64(x[:, i : i + 2, j : j + 2])
            out[:, i : i + 2, j : j + 2] = cell.mean(axis=(1, 2), keepdims=True)
    return out


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_fading_reals_blends_in_the_half_resolution_image(alpha):
    x = np.random.RandomState(0).randn(2, 4, 8, 3).astype("f")
    expected = (1 - alpha) * coarse(x) + alpha * x
    faded = growing.fade_reals(x, jnp.float32(alpha))
    np.testing.assert_allclose(faded, expected, atol=1e-6)
