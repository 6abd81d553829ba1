import dataclasses

import chex
import jax
import numpy as np

from stylegan_jax import parallel
from stylegan_jax.data.portraits import Portraits
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


def make(**changes):
    model = dataclasses.replace(MODEL, **changes)
    generator = init_generator(jax.random.key(0), model)
    params = jax.tree.map(lambda x: x + 0.3, generator.params)  # noise weights not 0
    return dataclasses.replace(generator, params=params)


def all_fakes(generator, count, devices=1, **options):
    mesh = parallel.make_mesh(devices)
    batches = list(drawing.fakes(generator, count, mesh=mesh, **options))
    return np.concatenate(batches), [len(batch) for batch in batches]


def test_an_image_depends_on_seed_and_index_alone():
    generator = make()
    images, sizes = all_fakes(generator, 10, batch_size=10)
    others, other_sizes = all_fakes(generator, 10, devices=4, batch_size=6)
    assert sizes == [10] and other_sizes == [8, 2]
    chex.assert_shape(images, (10, 8, 8, 3))
    # Programs of other sizes round differently; a level is 1 of 255.
    difference = np.abs(images.astype(int) - others)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01
    again, _ = all_fakes(generator, 10, batch_size=10, seed=1)
    assert np.abs(images.astype(int) - again).mean() > 1


def test_noise_is_fresh_and_there_is_no_truncation():
    generator = make()
    far = dataclasses.replace(generator, w_avg=generator.w_avg + 100)
    images, _ = all_fakes(generator, 4)
    np.testing.assert_array_equal(all_fakes(far, 4)[0], images)
    quiet = dataclasses.replace(
        generator, noise=jax.tree.map(lambda x: 0 * x, generator.noise)
    )
    np.testing.assert_array_equal(all_fakes(quiet, 4)[0], images)


def test_labels_of_a_conditional_network_are_the_datas():
    source = Portraits(5, 0, "eyeglasses")
    generator = make(label_size=source.label_size)
    images, _ = all_fakes(generator, 7, labels=source)
    chex.assert_shape(images, (7, 8, 8, 3))


def test_reals_come_in_order_and_again_from_the_start():
    source = Portraits(5, 0, None)
    batches = list(drawing.reals(source, 8, 8, batch_size=3))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    images = np.concatenate(batches)
    for i in range(8):
        np.testing.assert_array_equal(images[i], source.image(i % 5, 8))
    flipped = np.concatenate(list(drawing.reals(source, 8, 8, mirror=True)))
    turned = [not np.array_equal(a, b) for a, b in zip(images, flipped, strict=True)]
    assert 0 < sum(turned) < 8
    for i in np.flatnonzero(turned):
        np.testing.assert_array_equal(flipped[i], images[i][:, ::-1])


def test_three_channels_for_the_feature_networks():
    grey = np.full((2, 4, 4, 1), 7, np.uint8)
    np.testing.assert_array_equal(drawing.as_rgb(grey), np.full((2, 4, 4, 3), 7))
    four = np.arange(2 * 4 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 4)
    np.testing.assert_array_equal(drawing.as_rgb(four), four[..., :3])
