import dataclasses
import functools
import math
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from stylegan_jax.networks.config import ModelConfig, num_layers
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import init_generator
from stylegan_jax.networks.mapping import MappingNetwork
from stylegan_jax.networks.synthesis import SynthesisNetwork
from stylegan_jax.ops import latents, resample
from tests import tiny

SMALL = tiny.MODEL
GOLDEN = Path(__file__).parent.parent / "data" / "parameters_32px.txt"

# Section 4.1 of the paper and the official code's printout at 1024 px.
TOTALS = {
    32: (22_841_356, 20_726_785),
    64: (25_137_935, 22_498_049),
    128: (25_843_858, 22_941_313),
    256: (26_086_229, 23_052_353),
    512: (26_179_768, 23_080_225),
    1024: (26_219_627, 23_087_249),
}


def shapes(config):
    key = jax.random.key(0)
    generator = jax.eval_shape(lambda: init_generator(key, config))
    size = (4, config.resolution, config.resolution, config.num_channels)
    discriminator = jax.eval_shape(
        lambda: Discriminator(config).init(key, jnp.zeros(size))
    )
    return generator, discriminator["params"]


def randomised(tree, seed=0, scale=0.5):
    """Adds noise, so that zero-initialised biases and noise weights count."""
    leaves, structure = jax.tree.flatten(tree)
    draw = np.random.RandomState(seed)
    moved = [x + scale * draw.randn(*x.shape).astype("f") for x in leaves]
    return jax.tree.unflatten(structure, moved)


def small_networks():
    state = tiny.state()
    return tiny.generator(), state.d_params


@functools.partial(jax.jit, static_argnames=("config", "resolution"))
def drawn(params, ws, noise, config, resolution, alpha):
    variables = {"params": params}
    network = SynthesisNetwork(config)
    return network.apply(variables, ws, noise, resolution=resolution, alpha=alpha)


@functools.partial(jax.jit, static_argnames=("config",))
def scored(params, images, labels=None, alpha=None, config=SMALL):
    return Discriminator(config).apply({"params": params}, images, labels, alpha=alpha)


def synthesize(params, resolution, alpha=None, config=SMALL):
    ws = np.random.RandomState(5).randn(4, 6, 6).astype("f")
    noise = [
        np.random.RandomState(size).randn(4, size, size, 1).astype("f")
        for size in latents.noise_sizes(6)
    ]
    alpha = None if alpha is None else jnp.float32(alpha)
    return drawn(params, ws, noise, config, resolution, alpha)


def test_parameters_are_as_many_as_the_official_ones():
    for resolution, totals in TOTALS.items():
        generator, d_params = shapes(ModelConfig(resolution=resolution))
        assert (count(generator.params), count(d_params)) == totals


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_names_and_shapes_of_parameters_are_the_recorded_ones():
    generator, d_params = shapes(ModelConfig(resolution=32))
    tree = {"generator": generator.params, "discriminator": d_params}
    flat = traverse_util.flatten_dict(tree, sep="/")
    lines = [f"{name} {'x'.join(map(str, x.shape))}" for name, x in flat.items()]
    assert sorted(lines) == GOLDEN.read_text().splitlines()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("resolution", "channels"),
    [*((2**k, 3) for k in range(2, 11)), (64, 1), (64, 2), (64, 4)],
)
def test_every_resolution_and_number_of_colours_has_its_shape(resolution, channels):
    config = ModelConfig(resolution=1024, num_channels=channels)
    generator, d_params = shapes(config)
    ws = jax.ShapeDtypeStruct((4, 18, 512), jnp.float32)

    def both(params, d_params, ws, noise):
        alpha = jnp.float32(0.5) if resolution > 4 else None
        images = SynthesisNetwork(config).apply(
            {"params": params["synthesis"]},
            ws,
            noise,
            resolution=resolution,
            alpha=alpha,
        )
        scores = Discriminator(config).apply({"params": d_params}, images, alpha=alpha)
        return images, scores

    images, scores = jax.eval_shape(
        both, generator.params, d_params, ws, generator.noise
    )
    chex.assert_shape(images, (4, resolution, resolution, channels))
    chex.assert_shape(scores, (4,))
    chex.assert_type([images, scores], jnp.float32)


def test_a_resolution_that_fades_in_blends_the_enlarged_coarse_image_and_its_own():
    params = tiny.generator().params["synthesis"]
    coarse = resample.upsample(synthesize(params, 8))
    stable = synthesize(params, 16)
    assert np.abs(coarse - stable).max() > 0.1
    for alpha in (0, 0.5, 1):
        expected = coarse + (stable - coarse) * alpha
        np.testing.assert_allclose(synthesize(params, 16, alpha), expected, atol=1e-5)


def test_a_discriminator_that_starts_to_fade_in_sees_the_averaged_image():
    _, d_params = small_networks()
    images = np.random.RandomState(0).randn(4, 16, 16, 3).astype("f")
    fading = scored(d_params, images, None, jnp.float32(0))
    coarse = scored(d_params, resample.downsample(images))
    np.testing.assert_allclose(fading, coarse, rtol=1e-4)
    stable = scored(d_params, images)
    faded = scored(d_params, images, None, jnp.float32(1))
    np.testing.assert_allclose(faded, stable, rtol=1e-4)


@pytest.mark.thorough
def test_parameters_that_a_resolution_does_not_use_have_no_gradient():
    generator, d_params = small_networks()
    ws = jnp.ones((4, SMALL.num_ws, SMALL.w_dim))

    def score(params, d_params):
        images = SynthesisNetwork(SMALL).apply(
            {"params": params}, ws, generator.noise, resolution=8
        )
        return Discriminator(SMALL).apply({"params": d_params}, images).sum()

    gradients = jax.jit(jax.grad(score, argnums=(0, 1)))(
        generator.params["synthesis"], d_params
    )
    used = [{"block4", "block8", "to_rgb8"}, {"block4", "block8", "from_rgb8"}]
    for tree, names in zip(gradients, used, strict=True):
        for name, part in tree.items():
            touched = any(np.any(leaf) for leaf in jax.tree.leaves(part))
            assert touched == (name in names), name


def test_the_mapping_normalises_embeds_labels_and_scales_weights_and_biases():
    config = dataclasses.replace(SMALL, label_size=3, mapping_layers=1)
    network = MappingNetwork(config)
    draw = np.random.RandomState(0)
    z, labels = draw.randn(4, 6).astype("f"), np.eye(3, dtype="f")[[0, 2, 1, 1]]
    params = randomised(network.init(jax.random.key(0), z, labels)["params"], scale=30)
    p = jax.tree.map(np.float64, params)
    x = np.concatenate([z, labels @ p["label_concat"]["weight"]], axis=1)
    x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
    y = (
        x @ p["dense0"]["weight"] * (0.01 * math.sqrt(2 / 12))
        + 0.01 * p["dense0"]["bias"]
    )
    y = np.where(y >= 0, y, 0.2 * y)
    actual = network.apply({"params": params}, z, labels)
    np.testing.assert_allclose(actual, y, rtol=1e-4, atol=1e-5)


def test_labels_choose_the_score():
    config = dataclasses.replace(SMALL, label_size=3)
    labels = np.eye(3, dtype="f")
    image = np.random.RandomState(0).randn(1, 16, 16, 3).astype("f")
    images = image.repeat(3, axis=0)
    network = Discriminator(config)
    made = jax.eval_shape(lambda: network.init(jax.random.key(0), images, labels))
    params = tiny.numbers(made["params"])
    assert params["block4"]["dense1"]["weight"].shape == (8, 3)
    scores = scored(params, images, labels, config=config)
    swapped = scored(params, images, labels[[1, 0, 2]], config=config)
    np.testing.assert_allclose(swapped, scores[jnp.array([1, 0, 2])], rtol=1e-5)
    assert np.ptp(scores) > 1e-3


def test_bfloat16_keeps_parameters_and_results_in_float32_and_close():
    generator, d_params = small_networks()
    config = dataclasses.replace(SMALL, dtype="bfloat16")
    made, _ = shapes(config)
    chex.assert_type(jax.tree.leaves(made.params), jnp.float32)
    params = generator.params["synthesis"]
    exact, rounded = synthesize(params, 16), synthesize(params, 16, config=config)
    assert rounded.dtype == jnp.float32
    # bfloat16 has 8 bits: each of six layers rounds by up to 0.4 %.
    assert 0 < np.sqrt(np.mean((rounded - exact) ** 2)) < 0.02 * exact.std()
    scores = [scored(d_params, exact, config=c) for c in (SMALL, config)]
    assert scores[1].dtype == jnp.float32
    np.testing.assert_allclose(
        scores[1], scores[0], atol=0.05 * np.abs(scores[0]).max()
    )


@pytest.mark.thorough
def test_recomputing_blocks_changes_no_value_and_no_gradient():
    generator, _ = small_networks()
    ws = jnp.ones((2, SMALL.num_ws, SMALL.w_dim))

    def gradient(config):
        def loss(params):
            network = SynthesisNetwork(config)
            images = network.apply(
                {"params": params}, ws, generator.noise, resolution=16
            )
            return jnp.sum(jnp.sin(images))

        return jax.jit(jax.value_and_grad(loss))(generator.params["synthesis"])

    remat = gradient(dataclasses.replace(SMALL, remat=True))
    chex.assert_trees_all_close(remat, gradient(SMALL), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused_with_the_numbers():
    generator, d_params = small_networks()
    params = {"params": generator.params["synthesis"]}
    ws = jnp.ones((1, 6, 6))
    network = SynthesisNetwork(SMALL)
    with pytest.raises(ValueError, match="power of two"):
        network.apply(params, ws, generator.noise, resolution=12)
    with pytest.raises(ValueError, match="got 6 latents and a network of 16 px"):
        network.apply(params, ws, generator.noise, resolution=32)
    with pytest.raises(ValueError, match="16 px need 6 latents per image"):
        network.apply(params, ws[:, :4], generator.noise, resolution=16)
    with pytest.raises(ValueError, match="need 6 noise images, got 4"):
        network.apply(params, ws, generator.noise[:4], resolution=16)
    with pytest.raises(ValueError, match="do not fit a discriminator of 16 px"):
        Discriminator(SMALL).apply({"params": d_params}, jnp.zeros((4, 16, 16, 1)))
    with pytest.raises(ValueError, match=r"model\.resolution is 48"):
        ModelConfig(resolution=48)
    with pytest.raises(ValueError, match="64 leaves no channels at 128 px"):
        ModelConfig(resolution=128, channel_base=64)
    with pytest.raises(ValueError, match=r"model\.num_channels is 5"):
        ModelConfig(num_channels=5)


def test_layers_and_channels_follow_the_official_formulas():
    config = ModelConfig()
    assert [num_layers(2**k) for k in range(2, 11)] == list(range(2, 19, 2))
    assert [config.channels(2**k) for k in range(1, 11)] == [
        *[512] * 5, 256, 128, 64, 32, 16,
    ]  # fmt: skip
