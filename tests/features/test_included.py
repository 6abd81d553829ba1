"""The included feature network: its file, its features and its term."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.classifiers import classifier_file, own
from stylegan_jax.features import included
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.io import array_files
from stylegan_jax.metrics.measures import fid

NO_CODE = Code(jnp.zeros((2, 1, 1)), ())


@pytest.fixture(scope="module")
def params():
    return included.load()


def slow_features(params, image):
    """Layers of one picture `[H, W, 3]`, by loops, float64."""
    found, x = [], image.astype(np.float64)
    for layer in range(3):
        kernel = np.asarray(params[f"conv{layer}.weight"], np.float64)
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        y = np.zeros((*x.shape[:2], kernel.shape[-1]))
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                window = padded[i : i + 3, j : j + 3]
                y[i, j] = np.tensordot(window, kernel, 3)
        y = np.maximum(y + np.asarray(params[f"conv{layer}.bias"], np.float64), 0)
        found.append(y / np.sqrt((y**2).mean(-1, keepdims=True) + 0.01))
        h, w = y.shape[0] // 2, y.shape[1] // 2
        x = y[: 2 * h, : 2 * w].reshape(h, 2, w, 2, y.shape[-1]).max((1, 3))
    return found


def test_the_file_says_what_it_is_and_is_small():
    assert included.FILE.stat().st_size < 500_000
    header = array_files.read_safetensors_header(included.FILE)
    about = json.loads(header["stylegan_jax"])
    assert about["licence"].startswith("Apache-2.0")
    for part in ("portraits", "Clothing dataset", "CC0", "London", "CC BY 4.0"):
        assert part in about["source"]
    heads = classifier_file.load(included.FILE)
    assert {"smile", "what", "distortion"} < heads.keys()


@pytest.mark.parametrize("size", [(8, 8), (6, 11)])
def test_features_are_those_of_loops(params, size):
    image = np.random.RandomState(0).uniform(-1, 1, (1, *size, 3))
    found = included.features(params, jnp.asarray(image, jnp.float32))
    for layer, expected in zip(found, slow_features(params, image[0]), strict=True):
        np.testing.assert_allclose(layer[0], expected, atol=2e-5)


def test_channels_were_balanced(params):
    """No channel of a layer outweighs all others on pictures."""
    from stylegan_jax.data.portraits.source import Portraits

    people = Portraits(8)
    pictures = np.stack([people.image(i, 32) for i in range(8)]) / 127.5 - 1
    for layer in included.features(params, jnp.asarray(pictures, jnp.float32)):
        shares = np.mean(np.asarray(layer) ** 2, (0, 1, 2)) / layer.shape[-1]
        assert shares.sum() == pytest.approx(1, abs=0.05) and shares.max() < 0.3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_term_is_the_masked_mean_square_of_all_layers(params, channels):
    random = np.random.RandomState(channels)
    x = random.uniform(-1, 1, (2, 8, 8, channels))
    mask = random.uniform(0, 1, (1, 8, 8, 1))

    def coloured(image):
        if channels in (2, 4):  # laid over grey
            image = image[..., :-1] * (image[..., -1:] + 1) / 2
        return np.broadcast_to(image, (8, 8, 3))

    a, b = (slow_features(params, coloured(image)) for image in x)
    first, second = (jnp.asarray(image[None], jnp.float32) for image in x)
    weight = 3.0
    plain = terms.included_term(second, params, weight=weight)
    expected = weight * sum(np.mean((f - g) ** 2) for f, g in zip(a, b, strict=True))
    np.testing.assert_allclose(plain(first, NO_CODE), [expected], rtol=1e-4)

    masks = terms.masks_like(
        jnp.asarray(mask, jnp.float32), [jnp.zeros((1, *f.shape)) for f in a]
    )
    masked = terms.included_term(
        second, params, mask=jnp.asarray(mask, jnp.float32), weight=weight
    )
    expected = weight * sum(
        np.mean((np.asarray(m[0]) * (f - g)) ** 2)
        for m, f, g in zip(masks, a, b, strict=True)
    )
    np.testing.assert_allclose(masked(first, NO_CODE), [expected], rtol=1e-4)


def test_black_pictures_have_finite_derivatives_and_a_distance_of_zero(params):
    black = -jnp.ones((1, 16, 16, 3))
    term = terms.included_term(black, params)
    value, slope = jax.value_and_grad(lambda x: term(x, NO_CODE).sum())(black)
    assert value == 0 and jnp.isfinite(slope).all()


def test_distances_of_frechet_bear_its_name():
    network = own.load("included")
    assert (network.name, network.size) == ("included", 128)
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (12, 16, 16, 3)).astype(np.uint8)
    same = fid(images, images, features="included")
    assert abs(same) < 1e-3
    assert fid(images, images // 2, features="included") > same + 1
