import dataclasses
import math

import chex
import jax
import numpy as np
import pytest

from stylegan_jax.networks import pair
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import init_generator
from stylegan_jax.networks.synthesis import SynthesisNetwork

MODEL = ModelConfig(
    resolution=4,
    num_channels=1,
    z_dim=5,
    w_dim=5,
    mapping_layers=0,
    normalize_z=False,
    use_styles=False,
    use_noise=False,
    mlp_layers=2,
    mlp_width=7,
)


def restated(params, x):
    """The perceptron in float64: scaled weights, leaky ReLU but for the last layer."""
    for i, (name, gain) in enumerate(
        [("dense0", math.sqrt(2)), ("dense1", math.sqrt(2)), ("output", 1.0)]
    ):
        weight = np.asarray(params[name]["weight"], np.float64)
        x = x @ weight * gain / math.sqrt(len(weight))
        x = x + np.asarray(params[name]["bias"])
        if i < 2:
            x = np.maximum(x, 0.2 * x)
    return x


def moved(params):
    draw = np.random.RandomState(1)
    return jax.tree.map(lambda x: x + draw.randn(*x.shape).astype("f"), params)


def test_the_generator_is_a_perceptron_of_z():
    generator = init_generator(jax.random.key(0), MODEL)
    generator = dataclasses.replace(generator, params=moved(generator.params))
    z = np.random.RandomState(0).randn(3, 5).astype("f")
    images = generator.sample(z, psi=1.0)
    logits = restated(generator.params["synthesis"], z.astype(np.float64))
    expected = 2 / (1 + np.exp(-logits)) - 1
    chex.assert_shape(images, (3, 4, 4, 1))
    np.testing.assert_allclose(images.reshape(3, 16), expected, rtol=1e-5, atol=1e-5)


def test_the_discriminator_is_a_perceptron_of_the_pixels():
    images = np.random.RandomState(0).randn(3, 4, 4, 1).astype("f")
    discriminator = pair.discriminator_network(MODEL)
    params = moved(discriminator.init(jax.random.key(0), images)["params"])
    logits = discriminator.apply({"params": params}, images)
    expected = restated(params, images.reshape(3, 16).astype(np.float64))[:, 0]
    chex.assert_shape(logits, (3,))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_points_are_images_of_one_pixel():
    model = dataclasses.replace(MODEL, resolution=1, num_channels=2)
    generator = init_generator(jax.random.key(0), model)
    generator = dataclasses.replace(generator, params=moved(generator.params))
    z = np.random.RandomState(0).randn(6, 5).astype("f")
    points = generator.sample(z, psi=1.0)
    chex.assert_shape(points, (6, 1, 1, 2))
    expected = restated(generator.params["synthesis"], z.astype(np.float64))
    np.testing.assert_allclose(points.reshape(6, 2), expected, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_results_stay_float32():
    model = dataclasses.replace(MODEL, dtype="bfloat16")
    generator = init_generator(jax.random.key(0), model)
    assert generator.sample(np.ones((2, 5), "f")).dtype == np.float32


def test_the_configuration_chooses_the_pair():
    convolutional = dataclasses.replace(MODEL, resolution=8, mlp_layers=0)
    assert isinstance(pair.synthesis_network(convolutional), SynthesisNetwork)
    network = pair.discriminator_network(convolutional, strided_groups=False)
    assert isinstance(network, Discriminator) and not network.strided_groups
    assert not isinstance(pair.synthesis_network(MODEL), SynthesisNetwork)


def test_what_a_perceptron_cannot_be_is_refused():
    with pytest.raises(ValueError, match="has no styles, noise or classes"):
        dataclasses.replace(MODEL, use_noise=True)
    with pytest.raises(ValueError, match=r"model\.resolution is 1"):
        dataclasses.replace(MODEL, resolution=1, mlp_layers=0)
    generator = init_generator(jax.random.key(0), MODEL)
    smaller = dataclasses.replace(generator, resolution=2)
    with pytest.raises(ValueError, match="does not grow"):
        smaller.sample(np.zeros((1, 5), "f"))
