import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.distributed import parallel
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.io.images import to_uint8
from stylegan_jax.metrics import drawing
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

MODEL = ModelConfig(
    resolution=8,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=2,
    channel_base=64,
    channel_max=8,
)
# Twice the pixels: what it was shown can be read off its features.
PIXELS = FrozenNetwork(
    "pixels",
    8 * 8 * 3,
    {"two": jnp.float32(2)},
    lambda params, images: params["two"] * images.reshape(len(images), -1),
)


def make(**changes):
    model = dataclasses.replace(MODEL, **changes)
    generator = init_generator(jax.random.key(0), model)
    params = jax.tree.map(lambda x: x + 0.3, generator.params)  # noise weights not 0
    return dataclasses.replace(generator, params=params)


def fakes(generator, count=6, devices=1, **options):
    options = {"batch_size": 6, "mesh": parallel.make_mesh(devices)} | options
    chunks = drawing.features_of_fakes(generator, PIXELS, count, quiet=True, **options)
    return np.concatenate([*chunks])


def reals(source, count, **options):
    chunks = drawing.features_of_reals(
        source, PIXELS, count, 8, batch_size=3, quiet=True, **options
    )
    return np.concatenate([*chunks])


def test_a_sample_depends_on_seed_and_index_alone():
    generator = make()
    one, four = (
        fakes(generator, batch_size=6),
        fakes(generator, devices=4, batch_size=1),
    )
    assert one.shape == (6, 192) and one.dtype == np.float32
    # Programs of other sizes round differently; a level is 2 here.
    assert np.abs(one - four).max() <= 2 and (one != four).mean() < 0.01
    assert np.abs(one - fakes(generator, batch_size=6, seed=1)).mean() > 2
    assert len(np.unique(one, axis=0)) == 6


def test_samples_have_whole_levels_fresh_noise_and_no_truncation():
    generator = make()
    drawn = fakes(generator)
    np.testing.assert_array_equal(drawn / 2, np.round(drawn / 2))
    assert drawn.min() >= 0 and drawn.max() <= 510
    other = dataclasses.replace(
        generator,
        w_avg=generator.w_avg + 100,
        noise=jax.tree.map(lambda x: 0 * x, generator.noise),
    )
    np.testing.assert_array_equal(fakes(other), drawn)


def test_levels_are_those_of_written_pictures():
    images = np.linspace(-1.3, 1.3, 4 * 4 * 3, dtype=np.float32).reshape(1, 4, 4, 3)
    levels = drawing.to_rgb_levels(jnp.asarray(images))
    np.testing.assert_array_equal(levels, to_uint8(images))


def test_reals_come_in_order_each_once_and_spread():
    source = Portraits(8, 0, None)
    found = reals(source, 100)
    images = np.stack([source.image(i, 8) for i in range(8)])
    np.testing.assert_array_equal(reals(source, 3), found[[0, 2, 5]])
    np.testing.assert_array_equal(found, 2 * images.reshape(8, -1).astype("f"))
    flipped = reals(source, 8, mirror=True)
    turned = 2 * images[:, :, ::-1].reshape(8, -1).astype("f")
    is_turned = (flipped == turned).all(axis=1)
    assert 0 < is_turned.sum() < 8
    np.testing.assert_array_equal(flipped[~is_turned], found[~is_turned])


def test_three_channels_for_the_feature_networks():
    grey = np.full((2, 4, 4, 1), 7, np.uint8)
    np.testing.assert_array_equal(drawing.as_rgb(grey), np.full((2, 4, 4, 3), 7))
    four = np.arange(2 * 4 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 4)
    np.testing.assert_array_equal(drawing.as_rgb(four), four[..., :3])
