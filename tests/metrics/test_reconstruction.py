import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.metrics.reconstruction import (
    GAUSSIAN,
    TORCHMETRICS,
    UNIFORM,
    Convention,
    psnr,
    ssim,
    ssim_map,
)

CONVENTIONS = {
    "ssim_gauss11": GAUSSIAN,
    "ssim_gauss11_samplecov": Convention(11, 1.5, sample=True, border="crop"),
    "ssim_uniform7_skimage_default": UNIFORM,
    "ssim_uniform7_skimage_default_u8": UNIFORM,
    "ssim_torchmetrics": TORCHMETRICS,
    "ssim_torchmetrics_range255": TORCHMETRICS,
}
UNIT = (0.0, 1.0)


@pytest.fixture(params=["pair0", "pair1", "pair2"])
def pair(request, shared_dir):
    """Two images as `[1, H, W, C]` of 0 to 255 in float64, and the reference."""
    data = np.load(shared_dir / "reference" / "metrics" / "ssim_psnr.npz")
    start = request.param + "/"
    values = {n.removeprefix(start): data[n] for n in data if n.startswith(start)}
    images = [values.pop(name).astype(float) for name in ("a_u8", "b_u8")]
    a, b = (x.reshape(1, *x.shape[:2], -1) for x in images)
    return a, b, values


def noisy(seed=0, shape=(2, 24, 20, 3)):
    rng = np.random.RandomState(seed)
    x = rng.rand(*shape)
    return x, np.clip(x + 0.2 * rng.randn(*shape), 0, 1)


@pytest.mark.thorough
@pytest.mark.parametrize("double", [True, False])
def test_they_agree_with_the_reference(pair, double):
    a, b, reference = pair
    with jax.enable_x64(double):
        x, y = jnp.asarray(a), jnp.asarray(b)
        assert x.dtype == (jnp.float64 if double else jnp.float32)
        atol = 1e-10 if double else 1e-5
        in_db = psnr(x, y, value_range=(0, 255))
        np.testing.assert_allclose(in_db, [reference["psnr_255"]], atol=atol)
        np.testing.assert_allclose(in_db, [reference["psnr_torchmetrics"]], atol=1e-5)
        mse = 255**2 / 10 ** (np.asarray(in_db, float) / 10)
        np.testing.assert_allclose(mse, [reference["mse_255"]], rtol=atol)
        for name, convention in CONVENTIONS.items():
            ours = ssim(x, y, value_range=(0, 255), convention=convention)
            np.testing.assert_allclose(ours, [reference[name]], atol=atol)
        whole = np.asarray(ssim_map(x, y, value_range=(0, 255)))[0]
        expected = reference["ssim_gauss11_map_center"]
        middle = whole[11:19, 11:19]  # pixels 16 to 23 of the image
        np.testing.assert_allclose(middle, expected, atol=1e-5)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 255.0)])
def test_the_range_of_values_does_not_matter(value_range):
    x, y = noisy()
    low, high = value_range
    a, b = (jnp.asarray(low + (high - low) * image) for image in (x, y))
    for measure in (psnr, ssim):
        np.testing.assert_allclose(
            measure(a, b, value_range=value_range),
            measure(jnp.asarray(x), jnp.asarray(y), value_range=UNIT),
            rtol=2e-5,
        )


def test_noise_of_a_known_level():
    x = jnp.full((2, 8, 8, 3), 0.5)
    signs = jnp.where(jnp.arange(8) % 2, 1.0, -1.0)[None, None, :, None]
    noise = jnp.array([0.1, 0.01])[:, None, None, None] * signs
    expected = [20, 40]
    np.testing.assert_allclose(
        psnr(x, x + noise, value_range=UNIT), expected, rtol=1e-4
    )
    doubled = psnr(x, x + noise, value_range=(-1, 1))
    np.testing.assert_allclose(doubled, np.add(expected, 20 * np.log10(2)), rtol=1e-4)
    assert np.all(np.isposinf(psnr(x, x, value_range=UNIT)))


@pytest.mark.thorough
@pytest.mark.parametrize("convention", [GAUSSIAN, UNIFORM, TORCHMETRICS])
def test_equal_images_and_flat_ones(convention):
    x = jnp.asarray(noisy()[0])
    equal = ssim(x, x, value_range=UNIT, convention=convention)
    np.testing.assert_allclose(equal, 1, rtol=1e-6)
    # Without structure only the brightness is left.
    a, b = jnp.full((1, 12, 12, 1), 0.3), jnp.full((1, 12, 12, 1), 0.6)
    expected = (2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4)
    flat = ssim(a, b, value_range=UNIT, convention=convention)
    np.testing.assert_allclose(flat, expected, rtol=5e-5)


def test_a_window_by_definition():
    x, y = noisy(shape=(1, 11, 11, 1))
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(bell, bell)[None, :, :, None] / bell.sum() ** 2
    mean_x, mean_y = np.sum(window * x), np.sum(window * y)
    var_x = np.sum(window * (x - mean_x) ** 2)
    var_y = np.sum(window * (y - mean_y) ** 2)
    cov = np.sum(window * (x - mean_x) * (y - mean_y))
    expected = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    expected *= (2 * cov + 9e-4) / (var_x + var_y + 9e-4)
    ours = ssim(jnp.asarray(x), jnp.asarray(y), value_range=UNIT)
    np.testing.assert_allclose(ours, [expected], rtol=1e-5)


def test_they_compile_and_have_gradients():
    x, y = map(jnp.asarray, noisy())

    def total(x):
        return psnr(x, y, value_range=UNIT).sum() + ssim(x, y, value_range=UNIT).sum()

    gradient = jax.jit(jax.grad(total))(x)
    step = 0.01 * gradient / jnp.linalg.norm(gradient)
    slope = (total(x + step) - total(x - step)) / 0.02
    np.testing.assert_allclose(slope, jnp.linalg.norm(gradient), rtol=0.01)


def test_images_below_the_window_are_refused():
    x = jnp.zeros((1, 8, 20, 3))
    with pytest.raises(ValueError, match="8x20 px are smaller than the window of 11"):
        ssim(x, x, value_range=UNIT)
    with pytest.raises(AssertionError):
        psnr(x, x[:, :4], value_range=UNIT)
