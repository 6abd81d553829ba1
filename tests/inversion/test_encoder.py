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
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import encoder as module
from stylegan_jax.inversion import encoder_training
from stylegan_jax.inversion.code import draw, draw_pictures
from stylegan_jax.inversion.encoder import init_encoder
from stylegan_jax.inversion.encoder_training import EncoderConfig, train_encoder
from stylegan_jax.inversion.feature_nets import NO_FEATURES
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import Weights, recipe, with_steps
from stylegan_jax.io.images import from_uint8

SIZES = {"channel_base": 64, "channel_max": 16, "hidden": 32}
CONFIG = EncoderConfig(steps=60, batch_size=8, learning_rate=1e-2, latent=0.1)


@pytest.fixture(scope="module")
def photos(generator):
    rng = np.random.RandomState(0)
    size = (generator.resolution, generator.resolution, generator.config.num_channels)
    return rng.randint(0, 256, (5, *size), np.uint8)


@pytest.fixture(scope="module")
def trained(generator, photos):
    return [*train_encoder(generator, CONFIG, photos=photos, chunk=20, **SIZES)]


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


@pytest.mark.thorough
def test_the_loss_is_the_weighted_sum_of_its_means(generator, photos, key):
    images = Weights(pixel=2e-4, own=3.0, perceptual=0.0)
    config = dataclasses.replace(CONFIG, images=images, latent=5.0, delta=7.0)
    encoder = init_encoder(key, generator, **SIZES)
    noisy = jax.tree.map(lambda x: x + 0.1, encoder.params)
    encoder = dataclasses.replace(encoder, params=noisy)

    own = FrozenNetwork("means", 3, {}, lambda params, x: x.mean((1, 2)))
    loss = encoder_training._make_loss(config, own)
    value, found = loss(noisy, encoder, generator, photos, NO_FEATURES, key)
    sample_key, photo_key = jax.random.split(key)
    code = encoder_training.draw_codes(generator, config, sample_key)
    ws, noise = code.ws, code.noise
    chosen = photos[jax.random.randint(photo_key, (8,), 0, len(photos))]
    expected = {}
    for prefix, target, given in (
        ("", generator.synthesize(ws, noise), noise),
        ("photo_", chosen / 127.5 - 1, None),
    ):
        target = np.asarray(target, np.float32)
        estimated = encoder(target)
        drawn = np.asarray(generator.synthesize(estimated, given), np.float64)
        levels = 127.5 * (drawn - target)
        means = np.mean(levels.mean((1, 2)) ** 2)
        expected[prefix + "image"] = 2e-4 * np.mean(levels**2) + 3 * means
        expected[prefix + "delta"] = np.mean(np.square(encoder.parts(target)[1]))
        if not prefix:
            errors = np.asarray(estimated - ws) / np.asarray(encoder.std)
            expected["latent"] = np.mean(np.square(errors))
    weights = {"image": 1, "latent": 5, "delta": 7}
    total = sum(weights[k.removeprefix("photo_")] * v for k, v in expected.items())
    expected["total"] = total
    assert found.keys() == expected.keys()
    for name, mean in expected.items():
        np.testing.assert_allclose(found[name], mean, rtol=1e-3, err_msg=name)
    np.testing.assert_allclose(value, total, rtol=1e-3)


def test_samples_have_the_styles_of_two_from_a_layer_on(generator, key):
    config = dataclasses.replace(CONFIG, mixing=1.0, batch_size=32)
    code = encoder_training.draw_codes(generator, config, key)
    ws, noise = np.asarray(code.ws), code.noise
    changes = (np.diff(ws, axis=1) != 0).any(axis=2).sum(axis=1)
    assert (changes == 1).all()
    assert {layer.shape[0] for layer in noise} == {32}
    config = dataclasses.replace(config, mixing=0.0)
    plain = np.asarray(encoder_training.draw_codes(generator, config, key).ws)
    assert (plain == plain[:, :1]).all() and (ws[:, 0] == plain[:, 0]).all()


def test_training_finds_the_latents_and_images_of_samples(trained):
    assert [progress.step for progress in trained] == [20, 40, 60]
    first, last = trained[0].losses, trained[-1].losses
    assert last["latent"] < 0.9 * first["latent"]  # 1 + mean square is a guess of 0
    assert last["image"] < first["image"] and trained[-1].total < trained[0].total


def test_training_goes_on_bit_for_bit(generator, photos, trained):
    again = train_encoder(
        generator, CONFIG, photos=photos, chunk=20, state=trained[0].state, **SIZES
    )
    chex.assert_trees_all_equal([*again][-1].encoder, trained[-1].encoder)


def test_an_estimate_does_not_depend_on_its_batch(generator, trained, key):
    encoder = trained[-1].encoder
    images = draw(generator, encoder_training.draw_codes(generator, CONFIG, key))
    estimate = jax.jit(lambda encoder, images: encoder(images))
    together = np.asarray(estimate(encoder, images))
    alone = [np.asarray(estimate(encoder, image[None]))[0] for image in images]
    np.testing.assert_array_equal(together, np.stack(alone))


def inverted(given, recipe, batch_size):
    steps = invert(**given, recipe=recipe, batch_size=batch_size)
    return [one for step in steps for one in step.finished]


def test_a_search_begins_at_the_estimate_or_ends_there(generator, trained, key):
    """The encoder alone, and as a start of searches, in w+ and w."""
    encoder = trained[-1].encoder
    code = encoder_training.draw_codes(generator, CONFIG, key)
    pixels = list(draw_pictures(generator, code)[:3])
    given = {"generator": generator, "targets": pixels, "encoder": encoder}
    instant = recipe("instant", generator.resolution)
    found = [inverted(given, instant, batch_size) for batch_size in (1, 2)]
    expected = np.asarray(encoder(jnp.asarray(from_uint8(np.stack(pixels)))))
    for alone, together, ws, target in zip(*found, expected, pixels, strict=True):
        np.testing.assert_array_equal(alone.code.ws, together.code.ws)
        np.testing.assert_allclose(alone.code.ws[0], ws, rtol=1e-3, atol=1e-3)
        for a, b in zip(alone.code.noise, generator.noise, strict=True):
            np.testing.assert_array_equal(a, b)
        (stage,) = alone.stages
        levels = 127.5 * (
            np.asarray(draw(generator, alone.code)[0]) - from_uint8(target)
        )
        assert stage.loss == pytest.approx(1e-5 * np.mean(levels**2), rel=1e-3)
        assert len(stage.history) == 0 and alone.start == "encoder"
    one = dataclasses.replace(with_steps(instant, 1), space="w")
    first = inverted(given, one, 3)[0].code.ws[0, 0]
    np.testing.assert_allclose(first, expected[0].mean(0), atol=1e-3)


def test_iterations_after_the_estimate_do_not_depend_on_other_images(
    generator, trained, photos
):
    given = {"generator": generator, "encoder": trained[-1].encoder}
    few = with_steps(recipe("instant", generator.resolution), 8)
    found = [
        inverted({**given, "targets": [photos[0], photos[other]]}, few, 2)[0]
        for other in (1, 2)
    ]
    np.testing.assert_array_equal(found[0].code.ws, found[1].code.ws)
    (stage,) = found[0].stages
    assert len(stage.history) == 8 and stage.loss < stage.history[0]


def test_a_start_needs_an_encoder_of_the_network(generator, trained, photos):
    instant = recipe("instant", generator.resolution)
    with pytest.raises(UserError, match="no encoder of this network"):
        next(invert(generator, photos, instant))
    other = dataclasses.replace(trained[-1].encoder, generator="another")
    with pytest.raises(UserError, match="the encoder is of another network"):
        next(invert(generator, photos, instant, encoder=other))
    in_z = dataclasses.replace(instant, space="z")
    with pytest.raises(UserError, match="the start encoder is a guess of w"):
        next(invert(generator, photos, in_z, encoder=other))


def test_a_file_restores_the_encoder_and_says_of_which_network(
    tmp_path, trained, generator, key
):
    encoder, path = trained[-1].encoder, tmp_path / "e.safetensors"
    module.save(path, encoder)
    loaded = module.load(path)
    chex.assert_trees_all_close(loaded, encoder, rtol=1e-3, atol=1e-3)
    module.check(loaded, generator)
    other = jax.tree.map(lambda x: x + 1, generator)
    with pytest.raises(UserError, match="the encoder is of another network"):
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
        "encoder.w_dim is -": (
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
    with pytest.raises(UserError, match=r"photos are uint8 \(5, 4"):
        next(train_encoder(generator, CONFIG, photos=photos[:, :4], **SIZES))
    with pytest.raises(UserError, match=r"encoder\.steps is 0"):
        EncoderConfig(steps=0)


def test_no_encoder_is_written_that_could_not_be_read(tmp_path, generator):
    with pytest.raises(UserError, match="channel_base is 32768, not from 1 to 16384"):
        module.shape_for(generator, channel_base=32768)
    shape = module.shape_for(generator, **SIZES)
    ones = jnp.ones(shape.w_dim)
    for value in (np.nan, 1e6):  # beyond float16
        encoder = module.Encoder({"hidden": {"bias": ones * value}}, ones, ones, shape)
        with pytest.raises(UserError, match="not finite in float16"):
            module.save(tmp_path / "e.safetensors", encoder)
    assert not [*tmp_path.iterdir()]
