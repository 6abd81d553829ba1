import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.ops import normalize


def draw(*shape, seed=0):
    return 2 * np.random.RandomState(seed).randn(*shape).astype(np.float32) + 1


def stddev_of_groups(x, groups, num_features=1):
    """Appended features by the definition, for explicit groups of samples."""
    x = np.float64(x)
    n, h, w, c = x.shape
    out = np.zeros((n, h, w, num_features))
    for group in groups:
        deviation = np.sqrt(x[group].var(axis=0) + 1e-8)  # [H, W, C]
        for f in range(num_features):
            share = c // num_features
            part = deviation[..., f * share : (f + 1) * share]
            out[group, :, :, f] = part.mean()
    return out


def test_pixel_norm_gives_a_mean_square_of_one():
    x = draw(2, 3, 4, 5)
    expected = x / np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(normalize.pixel_norm(x), expected, rtol=1e-5)


def test_instance_norm_gives_mean_zero_and_biased_variance_one():
    x = draw(2, 3, 4, 5)
    y = np.float64(x)
    y = y - y.mean(axis=(1, 2), keepdims=True)
    expected = y / np.sqrt(y.var(axis=(1, 2), keepdims=True) + 1e-8)
    np.testing.assert_allclose(normalize.instance_norm(x), expected, atol=1e-5)


def test_instance_norm_of_a_constant_is_zero():
    assert not np.any(normalize.instance_norm(np.full((1, 4, 4, 2), 7, np.float32)))


def test_modulate_scales_by_one_plus_the_first_half_and_adds_the_second():
    x, style = draw(2, 3, 4, 5), draw(2, 10, seed=1)
    scale, shift = style[:, None, None, :5], style[:, None, None, 5:]
    expected = x * (scale + 1) + shift
    np.testing.assert_allclose(normalize.modulate(x, style), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({"strided": True}, [[0, 2, 4], [1, 3, 5]]),
        ({"strided": False}, [[0, 1, 2], [3, 4, 5]]),
        ({"num_features": 2}, [[0, 2, 4], [1, 3, 5]]),
        ({"group_size": 9}, [[0, 1, 2, 3, 4, 5]]),  # more than there are
    ],
)
def test_deviations_are_of_groups_of_samples(options, groups):
    x = draw(6, 2, 3, 4)
    y = normalize.minibatch_stddev(x, **{"group_size": 3, **options})
    np.testing.assert_array_equal(y[..., :4], x)
    expected = stddev_of_groups(x, groups, options.get("num_features", 1))
    np.testing.assert_allclose(y[..., 4:], expected, rtol=1e-5)


def test_a_batch_that_the_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="batch 6 must be a multiple of the group"):
        normalize.minibatch_stddev(draw(6, 2, 2, 2), 4)
    with pytest.raises(ValueError, match="5 channels of 2 features"):
        normalize.minibatch_stddev(draw(4, 2, 2, 5), 4, 2)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "function",
    [normalize.pixel_norm, normalize.instance_norm, normalize.minibatch_stddev],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e6])
def test_equal_values_have_finite_derivatives(function, value):
    x = jnp.full((4, 4, 4, 2), value)
    gradient = jax.grad(lambda x: jnp.sum(function(x) ** 2))(x)
    assert np.all(np.isfinite(gradient))


def test_statistics_of_bfloat16_are_taken_in_float32():
    x = jnp.asarray(draw(2, 16, 16, 2) * 0.01 + 100, jnp.bfloat16)
    y = normalize.instance_norm(x)
    expected = normalize.instance_norm(x.astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(y), expected, rtol=1e-2, atol=1e-2)
