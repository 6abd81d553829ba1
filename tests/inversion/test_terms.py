"""Terms against the reference's numbers, NumPy loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.features import vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import Code
from tests.features import reference

NO_CODE = Code(jnp.zeros((2, 1, 1)), ())


@pytest.fixture(scope="module")
def numbers(shared_dir):
    return np.load(shared_dir / "reference/metrics/gram_mask.npz")


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_two_masked_pixel_terms_are_those_of_the_paper(numbers, kind):
    mask = jnp.asarray(numbers[f"mse/mask_{kind}"])[None]
    g, x, y = (jnp.asarray(numbers[f"mse/{n}_nhwc"]) for n in "gxy")  # in [-1, 1]
    inside = terms.PixelTerm(x, mask)
    outside = terms.PixelTerm(y, 1 - mask)
    found = terms.total([inside, outside], g, NO_CODE)
    expected = numbers[f"mse/{kind}/two_sided_255_lambda1e-5"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    alone = terms.PixelTerm(x, mask, 1 / 127.5**2)(g, NO_CODE)
    np.testing.assert_allclose(alone, numbers[f"mse/{kind}/m2_over_N"], rtol=1e-5)
    plain = terms.PixelTerm(x, weight=1 / 127.5**2)(g, NO_CODE)
    np.testing.assert_allclose(plain, numbers["mse/plain"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["nomask", "hard", "soft"])
def test_gram_matrices(numbers, kind):
    a, b = (numbers[f"feat_{n}_nchw"].transpose(0, 2, 3, 1) for n in "ab")
    mask = None if kind == "nomask" else numbers[f"mask_{kind}_hw"][None, :, :, None]
    of_a, of_b = (terms.gram(jnp.asarray(x), mask) for x in (a, b))
    if mask is not None:
        np.testing.assert_allclose(of_a, numbers[f"gram_raw_a_{kind}"], rtol=1e-5)
    found = terms.gram_distance(of_a, of_b, a.shape)
    np.testing.assert_allclose(found, numbers[f"style/{kind}/mse_chw"], rtol=1e-5)


@pytest.mark.parametrize("size", [(8, 6), (4, 3)])
def test_masks_are_resampled_linearly_and_antialiased(numbers, size):
    mask = jnp.asarray(numbers["resize/mask"])[None, :, :, None]
    (found,) = terms.masks_like(mask, [jnp.zeros((2, *size, 5))])
    expected = numbers[f"resize/{size[0]}x{size[1]}/bilinear-antialias"]
    np.testing.assert_allclose(found[0, :, :, 0], expected, atol=1e-5)


@pytest.fixture(scope="module")
def params(shared_dir):
    made = reference.weights("vgg16", shared_dir)
    # Without the deepest stage, which no term looks at.
    return vgg16.convert({k: v for k, v in made.items() if k.startswith("features.")})


@pytest.fixture(scope="module")
def vgg_numbers(shared_dir):
    return np.load(shared_dir / "reference/metrics/vgg16.npz")


def test_the_perceptual_term_is_image2stylegan_s(params, vgg_numbers):
    pair = jnp.asarray(vgg_numbers["a/input_u8"], jnp.float32) / 127.5 - 1
    term = terms.perceptual_term(
        pair[1:], params, weight=1 / 255**2, layers=terms.IMAGE2STYLEGAN_LAYERS
    )
    found = term(pair[:1], NO_CODE)
    expected = np.sum(vgg_numbers["i2s/terms"])
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


@pytest.mark.thorough
def test_masks_multiply_features_and_style_sees_its_own_part(params):
    """Small images, against the formula spelt out in NumPy."""
    random = np.random.RandomState(0)
    x, y = (jnp.asarray(random.rand(2, 16, 16, 3), jnp.float32) for _ in "xy")
    mask = jnp.asarray(random.rand(1, 16, 16, 1), jnp.float32)
    layers = terms.IMAGE2STYLEGAN2_LAYERS
    features = jax.jit(terms.vgg_features, static_argnums=2)
    a, b = (
        [np.asarray(f, np.float64) for f in features(params, image, layers)]
        for image in (x, y)
    )
    # Halving a mask linearly and antialiased, away from the borders, is
    # (1, 3, 3, 1) / 8 along each axis; the resampling itself has a test of its own.
    masks = [np.asarray(m, np.float64) for m in terms.masks_like(mask, a)]
    assert [m.shape[1] for m in masks] == [16, 16, 8, 4]
    term = terms.perceptual_term(y, params, mask=mask, weight=3.0)
    expected = sum(
        3 * np.mean((m * (f - g)) ** 2, (1, 2, 3))
        for m, f, g in zip(masks, a, b, strict=True)
    )
    np.testing.assert_allclose(term(x, NO_CODE), expected, rtol=1e-4)

    style = terms.style_term(y, params, mask=mask, weight=2.0)
    f, g = (
        np.einsum("nic,nid->ncd", *[(masks[3] * v[3]).reshape(2, 16, -1)] * 2)
        for v in (a, b)
    )
    expected = 2 * np.mean(((f - g) / (16 * 256)) ** 2, (1, 2))
    np.testing.assert_allclose(style(x, NO_CODE), expected, rtol=1e-4)

    # Equation 1: both of these and two pixel terms, of x inside and y outside.
    z, m = jnp.zeros_like(x), np.asarray(mask)
    found = [
        terms.PixelTerm(x, mask, 2.0),
        terms.PixelTerm(y, 1 - mask, 3.0),
        terms.perceptual_term(x, params, mask=mask, weight=4.0),
        terms.style_term(y, params, mask=mask, weight=5.0),
    ]
    alone = [
        2 * np.mean((m * np.asarray(x) * 127.5) ** 2, (1, 2, 3)),
        3 * np.mean(((1 - m) * np.asarray(y) * 127.5) ** 2, (1, 2, 3)),
        found[2](z, NO_CODE),
        found[3](z, NO_CODE),
    ]
    whole = terms.total(found, z, NO_CODE)
    np.testing.assert_allclose(whole, np.sum(alone, 0), rtol=1e-5)


@pytest.mark.thorough
def test_lpips_of_equal_channels_is_the_plain_distance(params, shared_dir):
    stored = np.load(shared_dir / "reference/metrics/lpips_vgg.npz")
    a, b = (
        jnp.asarray(stored[f"in{i}_u8"][:1], jnp.float32) / 127.5 - 1 for i in (0, 1)
    )
    ones = {
        f"lin{i}.model.1.weight": jnp.ones(width)
        for i, width in enumerate(vgg16.WIDTHS)
    }
    term = terms.lpips_term(b, {**params, **ones}, weight=0.5)
    expected = 0.5 * stored["distance_lpips_false"][:1]
    np.testing.assert_allclose(term(a, NO_CODE), expected, rtol=2e-5)


def test_large_images_are_shrunk_by_the_mean_and_grey_ones_coloured():
    image = jnp.arange(512.0 * 512).reshape(1, 512, 512, 1) / 512**2
    seen = terms.seen(image)
    assert seen.shape == (1, 256, 256, 3)
    expected = np.asarray(image)[0, 6:8, 10:12, 0].mean()
    np.testing.assert_allclose(seen[0, 3, 5], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="5 channels"):
        terms.seen(jnp.zeros((1, 8, 8, 5)))


def test_features_of_your_own_are_compared_by_their_mean_square():
    matrix = jnp.asarray([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    network = FrozenNetwork(
        "two", 2, {"m": matrix}, lambda p, x: x.mean((1, 2)) @ p["m"]
    )
    term = terms.feature_term(-jnp.ones((2, 4, 4, 3)), network, weight=2.0)
    # Black is 0, white 255: features (255, 510) from (0, 0).
    found = term(jnp.ones((2, 4, 4, 3)), NO_CODE)
    np.testing.assert_allclose(found, 2 * (255**2 + 510**2) / 2, rtol=1e-6)


def test_staying_is_a_distance_with_a_derivative_where_it_is_zero():
    reference_ws = jnp.ones((1, 2, 3))
    term = terms.StayTerm(reference_ws, 0.5)
    ws = jnp.stack([reference_ws[0], reference_ws[0] + 2.0])
    found = term(jnp.zeros((2, 1, 1, 3)), Code(ws, ()))
    np.testing.assert_allclose(found, [0, 0.5 * 2 * 6**0.5], rtol=1e-6)
    gradient = jax.grad(lambda ws: term(ws, Code(ws, ())).sum())(ws)
    np.testing.assert_array_equal(gradient[0], 0)
    np.testing.assert_allclose(gradient[1], 0.5 / 6**0.5, rtol=1e-6)


def test_white_noise_is_judged_as_the_projector_does():
    random = np.random.RandomState(0)
    noise = [random.randn(2, size, size, 1) for size in (4, 8, 32)]

    def slow(maps):
        total = 0.0
        for v in maps:
            v = v[:, :, 0].astype(np.float64)
            while True:
                size = len(v)
                across = down = 0.0
                for i in range(size):
                    for j in range(size):
                        across += v[i, j] * v[i, j - 1]
                        down += v[i, j] * v[i - 1, j]
                total += (across / size**2) ** 2 + (down / size**2) ** 2
                if size <= 8:
                    break
                v = (v[::2, ::2] + v[1::2, ::2] + v[::2, 1::2] + v[1::2, 1::2]) / 4
        return 1e5 * total

    code = Code(jnp.zeros((2, 1, 1)), tuple(jnp.asarray(n, jnp.float32) for n in noise))
    found = terms.NoiseWhiteTerm()(jnp.zeros((2, 1, 1, 3)), code)
    expected = [slow([n[i] for n in noise]) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
