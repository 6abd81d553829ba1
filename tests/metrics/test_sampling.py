import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.distributed import parallel
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.io.images import to_uint8
from stylegan_jax.metrics import sampling
from tests.metrics.measuring import generator

# Twice the pixels: what it was shown can be read off its features.
PIXELS = FrozenNetwork(
    "pixels",
    8 * 8 * 3,
    {"two": jnp.float32(2)},
    lambda params, images: params["two"] * images.reshape(len(images), -1),
)


def fakes(made, count=6, devices=1, **options):
    options = {"batch_size": 6, "mesh": parallel.make_mesh(devices)} | options
    images = sampling.fakes(made, PIXELS, count, quiet=True, **options)
    return np.concatenate([*images.chunks(0)])


def reals(source, count, **options):
    images = sampling.reals(
        source, PIXELS, count, 8, batch_size=3, quiet=True, **options
    )
    return np.concatenate([*images.chunks(0)])


@pytest.mark.thorough
def test_a_sample_depends_on_seed_and_index_alone():
    one = fakes(generator())
    four = fakes(generator(), devices=4, batch_size=1)
    assert one.shape == (6, 192) and one.dtype == np.float32
    # Programs of other sizes round differently; a level is 2 here.
    assert np.abs(one - four).max() <= 2 and (one != four).mean() < 0.01
    assert np.abs(one - fakes(generator(), seed=1)).mean() > 2
    assert len(np.unique(one, axis=0)) == 6


@pytest.mark.thorough
def test_samples_have_whole_levels_fresh_noise_and_no_truncation():
    made = generator()
    drawn = fakes(made)
    np.testing.assert_array_equal(drawn / 2, np.round(drawn / 2))
    assert drawn.min() >= 0 and drawn.max() <= 510
    other = dataclasses.replace(
        made, w_avg=made.w_avg + 100, noise=jax.tree.map(lambda x: 0 * x, made.noise)
    )
    np.testing.assert_array_equal(fakes(other), drawn)


def test_levels_are_those_of_written_pictures():
    images = np.linspace(-1.3, 1.3, 4 * 4 * 3, dtype=np.float32).reshape(1, 4, 4, 3)
    levels = sampling.to_rgb_levels(jnp.asarray(images))
    np.testing.assert_array_equal(levels, to_uint8(images))
    grey = np.full((2, 4, 4, 1), 7, np.uint8)
    np.testing.assert_array_equal(sampling.as_rgb(grey), np.full((2, 4, 4, 3), 7))
    four = np.arange(2 * 4 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 4)
    np.testing.assert_array_equal(sampling.as_rgb(four), four[..., :3])


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
