"""The encoder: its formula, its training, and its file."""

import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import encoder as module
from stylegan_jax.inversion import encoder_training
from stylegan_jax.inversion.encoder import init_encoder
from stylegan_jax.inversion.encoder_training import EncoderConfig, train_encoder
from tests import tiny

SIZES = {"channel_base": 64, "channel_max": 16, "hidden": 32}
CONFIG = EncoderConfig(steps=150, batch_size=8, learning_rate=1e-2)


@pytest.fixture(scope="module")
def generator():
    return tiny.generator()


@pytest.fixture(scope="module")
def photos(generator):
    rng = np.random.RandomState(0)
    size = (generator.resolution, generator.resolution, generator.config.num_channels)
    return rng.randint(0, 256, (5, *size), np.uint8)


@pytest.fixture(scope="module")
def trained(generator, photos):
    return [*train_encoder(generator, CONFIG, photos=photos, chunk=50, **SIZES)]


def test_an_untrained_encoder_gives_one_w_in_units_of_the_generators(generator, key):
    encoder = init_encoder(key, generator, **SIZES)
    z = jax.random.normal(key, (4000, generator.config.z_dim))
    w = np.asarray(generator.map(z)[:, 0])
    np.testing.assert_allclose(encoder.std, w.std(0), rtol=0.1)
    shape = encoder.shape
    size = (3, shape.resolution, shape.resolution, shape.num_channels)
    images = jax.random.uniform(key, size, minval=-1)
    ws, (one, delta) = encoder(images), encoder.parts(images)
    chex.assert_shape(ws, (3, generator.config.num_ws, generator.config.w_dim))
    assert not delta.any()
    expected = np.asarray(encoder.mean) + np.asarray(encoder.std) * np.asarray(one)
    np.testing.assert_allclose(ws, np.broadcast_to(expected, ws.shape), rtol=1e-5)


def test_the_loss_is_the_weighted_sum_of_its_means(generator, photos, key):
    config = dataclasses.replace(
        CONFIG, pixel=2.0, perceptual=3.0, latent=5.0, delta=7.0
    )
    encoder = init_encoder(key, generator, **SIZES)
    noisy = jax.tree.map(lambda x: x + 0.1, encoder.params)
    encoder = dataclasses.replace(encoder, params=noisy)

    def distance(drawn, target):
        return jnp.abs(drawn - target).mean()

    loss = encoder_training._make_loss(config, distance)
    value, found = loss(noisy, encoder, generator, photos, key)
    sample_key, photo_key = jax.random.split(key)
    ws, noise = encoder_training._draw(generator, config, sample_key)
    chosen = photos[jax.random.randint(photo_key, (8,), 0, len(photos))]
    expected = {}
    for prefix, target, given in (
        ("", generator.synthesize(ws, noise), noise),
        ("photo_", chosen / 127.5 - 1, None),
    ):
        target = np.asarray(target, np.float32)
        estimated = encoder(target)
        drawn = np.asarray(generator.synthesize(estimated, given), np.float64)
        expected[prefix + "pixel"] = np.mean((drawn - target) ** 2)
        expected[prefix + "perceptual"] = np.mean(np.abs(drawn - target))
        expected[prefix + "delta"] = np.mean(np.square(encoder.parts(target)[1]))
        if not prefix:
            errors = np.asarray(estimated - ws) / np.asarray(encoder.std)
            expected["latent"] = np.mean(np.square(errors))
    assert found.keys() == expected.keys()
    for name, mean in expected.items():
        np.testing.assert_allclose(found[name], mean, rtol=1e-3, err_msg=name)
    weights = {"pixel": 2, "perceptual": 3, "latent": 5, "delta": 7}
    total = sum(weights[k.removeprefix("photo_")] * v for k, v in expected.items())
    np.testing.assert_allclose(value, total, rtol=1e-3)


def test_samples_have_the_styles_of_two_from_a_layer_on(generator, key):
    config = dataclasses.replace(CONFIG, mixing=1.0, batch_size=32)
    ws, noise = encoder_training._draw(generator, config, key)
    ws = np.asarray(ws)
    changes = (np.diff(ws, axis=1) != 0).any(axis=2).sum(axis=1)
    assert (changes == 1).all()
    assert {layer.shape[0] for layer in noise} == {32}
    config = dataclasses.replace(config, mixing=0.0)
    plain = np.asarray(encoder_training._draw(generator, config, key)[0])
    assert (plain == plain[:, :1]).all() and (ws[:, 0] == plain[:, 0]).all()


def test_training_finds_the_latents_and_images_of_samples(trained):
    assert [progress.step for progress in trained] == [50, 100, 150]
    first, last = trained[0].losses, trained[-1].losses
    assert last["latent"] < 0.9 * first["latent"]  # 1 + mean square is a guess of 0
    assert last["pixel"] < first["pixel"]


def test_training_goes_on_bit_for_bit(generator, photos, trained):
    again = train_encoder(
        generator, CONFIG, photos=photos, chunk=50, state=trained[0].state, **SIZES
    )
    chex.assert_trees_all_equal([*again][-1].encoder, trained[-1].encoder)


def test_an_estimate_does_not_depend_on_its_batch(generator, trained, key):
    encoder = trained[-1].encoder
    images = generator.synthesize(encoder_training._draw(generator, CONFIG, key)[0])
    together = np.asarray(encoder.estimate(images))
    alone = [np.asarray(encoder.estimate(image[None]))[0] for image in images]
    np.testing.assert_array_equal(together, np.stack(alone))
    np.testing.assert_allclose(together, encoder(images), rtol=1e-4, atol=1e-5)


def test_a_file_restores_the_encoder_and_says_of_which_network(
    tmp_path, trained, generator, key
):
    encoder, path = trained[-1].encoder, tmp_path / "e.safetensors"
    module.save(path, encoder)
    loaded = module.load(path)
    chex.assert_trees_all_close(loaded, encoder, rtol=1e-3, atol=1e-3)
    module.check(loaded, generator)
    other = jax.tree.map(lambda x: x + 1, generator)
    with pytest.raises(UserError, match="was trained for another network"):
        module.check(loaded, other)

    arrays, header = safetensors.numpy.load_file(path), {}
    with safetensors.safe_open(path, "numpy") as file:
        header = file.metadata()
    damages = {
        "not those it describes": (dict(itertools.islice(arrays.items(), 3)), header),
        "not finite": (arrays | {"mean": arrays["mean"] * np.nan}, header),
        "of another kind": (arrays, {"stylegan_jax": '{"format": "x"}'}),
        "of version 9": (
            arrays,
            {"stylegan_jax": header["stylegan_jax"].replace('n": 1', 'n": 9')},
        ),
        "its sizes are": (
            arrays,
            {"stylegan_jax": header["stylegan_jax"].replace('_dim": ', '_dim": -')},
        ),
    }
    for message, (changed, metadata) in damages.items():
        safetensors.numpy.save_file(changed, path, metadata)
        with pytest.raises(UserError, match=message):
            module.load(path)
    with pytest.raises(UserError, match="no such file"):
        module.load(tmp_path / "none")


def test_photographs_of_another_size_are_refused(generator, photos):
    with pytest.raises(UserError, match=r"photos are uint8 \(5, 8"):
        next(train_encoder(generator, CONFIG, photos=photos[:, :8], **SIZES))
    with pytest.raises(UserError, match=r"encoder\.steps is 0"):
        EncoderConfig(steps=0)
