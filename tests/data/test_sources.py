"""The data section, the built-in set, and TFDS."""

import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "portrait"}, "did you mean 'portraits'"),
        ({"name": "tfds:"}, "tfds:<data set>"),
        ({"name": "mnist"}, "is not one of portraits, folder"),
        ({"name": "folder"}, "needs a path"),
        ({"name": "zip", "path": ""}, "needs a path"),
        ({"num_channels": 5}, "num_channels 5"),
        ({"crop": "centre"}, "crop 'centre'"),
        ({"max_images": 1}, "max_images 1"),
        ({"portraits_size": 0}, "portraits_size 0"),
        ({"cache_gb": -1.0}, "cache_gb"),
        ({"cache_gb": float("nan")}, "cache_gb"),
        ({"seed": -1}, "seed -1"),
        ({"name": "folder", "path": "x", "labels": "smile"}, "labels 'smile'"),
        ({"name": "pyramid", "path": "x", "labels": "csv"}, "none or stored"),
    ],
)
def test_wrong_values_are_refused_with_a_hint(options, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**options)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*nothing here"):
        open_source(DataConfig(name="folder", path=str(tmp_path / "nothing here")))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_portraits_come_with_any_number_of_channels(channels):
    source = open_source(DataConfig(num_channels=channels, portraits_size=5))
    assert len(source) == 5
    assert source.num_channels == channels
    assert source.image(4, 16).shape == (16, 16, channels)


def test_portraits_are_labelled_by_an_attribute():
    source = open_source(DataConfig(labels="smile", max_images=3))
    assert len(source) == 3
    assert source.label(0).sum() == 1
    with pytest.raises(UserError, match="smiles"):
        open_source(DataConfig(labels="smiles"))


@pytest.fixture
def mnist(shared_dir):
    path = str(shared_dir / "data" / "tfds")

    def open_mnist(**options):
        return open_source(DataConfig(name="tfds:mnist", path=path, **options))

    return open_mnist


def test_mnist_is_padded_to_32_pixels_as_the_official_tool_does(mnist):
    source = mnist(num_channels=1, labels="tfds")
    assert len(source) == 8000
    assert source.label_size == 10
    large, rgb = source.image(7, 32), mnist(num_channels=3).image(7, 32)
    assert large.shape == (32, 32, 1)
    assert not large[:2].any()
    assert not large[30:].any()
    assert not large[:, :2].any()
    assert not large[:, 30:].any()
    assert large[2:30, 2:30].max() > 200
    np.testing.assert_array_equal(rgb, np.repeat(large, 3, 2))
    half = large.reshape(16, 2, 16, 2).astype(float).mean((1, 3))
    np.testing.assert_array_equal(source.image(7, 16)[:, :, 0], np.rint(half))


def test_mnist_is_enlarged_when_padding_is_declined(mnist):
    padded, stretched = mnist(num_channels=1), mnist(num_channels=1, pad=False)
    extents = [
        np.ptp(np.flatnonzero(source.image(7, 64).max((0, 2)) > 128))
        for source in (padded, stretched)
    ]
    assert extents[1] / extents[0] == pytest.approx(32 / 28, rel=0.1)


def test_tfds_labels_are_the_same_before_and_after_the_image_was_read(mnist):
    source = mnist(labels="label")
    before = [source.label(i) for i in range(20)]
    for i in range(20):
        source.image(i, 32)
    np.testing.assert_array_equal(before, [source.label(i) for i in range(20)])
    counts = sum(source.label(i) for i in range(1000))
    assert counts.min() > 50  # all ten digits occur


def test_max_images_of_tfds_keeps_images_and_labels_together(mnist):
    every, some = mnist(labels="tfds"), mnist(labels="tfds", max_images=40)
    assert len(some) == 40
    chosen = np.sort(np.random.default_rng(0).permutation(8000)[:40])
    for place, index in enumerate(chosen):
        np.testing.assert_array_equal(some.image(place, 32), every.image(index, 32))
        np.testing.assert_array_equal(some.label(place), every.label(index))


def test_splits_of_tfds_can_be_combined(mnist):
    assert len(mnist(split="test")) == 2000
    assert len(mnist(split="train[:10%]+test")) == 2800


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "no split 'valid', it has train, test"),
        ({"labels": "colour"}, "no class labels 'colour'; it has: label"),
    ],
)
def test_a_wrong_split_or_label_of_tfds_is_explained(mnist, options, message):
    with pytest.raises(UserError, match=message):
        mnist(**options)


def test_an_unknown_tfds_name_gets_a_suggestion():
    with pytest.raises(UserError, match=r"knows no data set 'mnits'.*mnist"):
        open_source(DataConfig(name="tfds:mnits"))


@pytest.mark.filterwarnings("ignore")
def test_an_unprepared_tfds_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(UserError, match=r"not prepared in .*download_and_prepare"):
        open_source(DataConfig(name="tfds:mnist", path=str(tmp_path)))
