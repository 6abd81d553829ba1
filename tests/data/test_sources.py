"""The data section, the built-in set, points, and TFDS."""

import contextlib
import shutil

import numpy as np
import pytest

from stylegan_jax.data import stream
from stylegan_jax.data.config import DataConfig, by_path
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from tests import tiny

POINTS = {"num_channels": 2, "points_size": 20_000}
RING = DataConfig(name="ring", **POINTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "portrait"}, "did you mean 'portraits'"),
        ({"name": "tfds:"}, "tfds:<data set>"),
        ({"name": "mnist"}, "is not one of portraits, folder"),
        ({"name": "folder"}, "needs a path"),
        ({"name": "zip", "path": ""}, "needs a path"),
        ({"num_channels": 5}, "data.num_channels is 5, not 1"),
        ({"crop": "centre"}, "data.crop is 'centre', not one of"),
        ({"max_images": 1}, "data.max_images is 1, and must be"),
        ({"portraits_size": 0}, "data.portraits_size is 0"),
        ({"cache_gb": -1.0}, "cache_gb"),
        ({"cache_gb": float("nan")}, "cache_gb"),
        ({"seed": -1}, "data.seed is -1"),
        ({"name": "folder", "path": "x", "labels": "smile"}, "labels 'smile'"),
        ({"name": "pyramid", "path": "x", "labels": "csv"}, "none or stored"),
        ({"name": "ring", "num_channels": 3}, "points of 'ring' have 2 coordinates"),
        ({"name": "ring", **POINTS, "labels": "mode"}, "labels 'mode' of a ring must"),
        (
            {"name": "ring", **POINTS, "points_std": 0.0},
            "points_std is 0.0, not positive",
        ),
        ({"name": "ring", **POINTS, "ring_modes": 0}, "ring_modes is 0, not positive"),
    ],
)
def test_wrong_values_are_refused_with_a_hint(options, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**options)


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


def test_drawn_sets_are_told_by_what_makes_them():
    def mark(**options):
        return open_source(DataConfig(**options)).fingerprint([0, 1], 8)

    portraits = [{}, {"seed": 1}, {"portraits_size": 9}, {"num_channels": 1}]
    points = [{"name": "ring", "num_channels": 2, "seed": seed} for seed in (0, 1)]
    assert len({mark(**options) for options in portraits + points}) == 6
    assert mark() == mark(labels="smile")
    assert mark(**points[0]) == mark(**points[0])


def all_points(config):
    source = open_source(config)
    return source, np.stack([source.image(i, 1)[0, 0] for i in range(len(source))])


def test_the_ring_is_eight_equally_likely_normal_distributions_on_the_unit_circle():
    source, points = all_points(RING)
    assert points.dtype == np.float32 and points.shape == (20_000, 2)
    np.testing.assert_allclose(np.linalg.norm(source.centers, axis=1), 1, rtol=1e-6)
    sector = np.round(np.arctan2(points[:, 1], points[:, 0]) / (np.pi / 4)) % 8
    counts = np.bincount(sector.astype(int), minlength=8)
    # 2,500 each, with a standard deviation of 47.
    assert counts.min() > 2250 and counts.max() < 2750
    for k in range(8):
        inside = points[sector == k]
        center = np.array([np.cos(k * np.pi / 4), np.sin(k * np.pi / 4)])
        np.testing.assert_allclose(inside.mean(axis=0), center, atol=0.002)
        np.testing.assert_allclose(inside.std(axis=0), 0.02, rtol=0.06)


def test_the_line_has_mean_one_and_the_deviation_asked_for():
    config = DataConfig(
        name="gaussian", num_channels=1, points_std=0.5, points_size=20_000
    )
    _, points = all_points(config)
    np.testing.assert_allclose(points.mean(), 1, atol=0.015)
    np.testing.assert_allclose(points.std(), 0.5, rtol=0.02)


def test_batches_of_points_are_float32_as_they_are():
    source, points = all_points(RING)
    decoded = stream.Decoded(source, 10**6, RING.dtype)
    options = {"resolution": 1, "repeats": 2, "batch_size": 8, "seed": 0}
    batches = stream.batches(decoded, start_nimg=0, mirror=False, **options)
    with contextlib.closing(batches):
        first = next(batches)
    assert first["images"].shape == (2, 8, 1, 1, 2)
    assert first["images"].dtype == np.float32
    order, _ = stream.order(np.arange(16), len(points), seed=0, mirror=False)
    np.testing.assert_array_equal(first["images"].reshape(16, 2), points[order])


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
    assert (
        np.pad(large[2:30, 2:30], ((2, 2), (2, 2), (0, 0))).tolist() == large.tolist()
    )
    assert large.max() > 200
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
    with pytest.raises(UserError, match=r"cannot open 'mnits'.*mnist"):
        open_source(DataConfig(name="tfds:mnits"))


@pytest.mark.filterwarnings("ignore")
def test_an_unprepared_tfds_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(UserError, match=r"not prepared in .*download_and_prepare"):
        open_source(DataConfig(name="tfds:mnist", path=str(tmp_path)))


def test_a_path_decides_its_kind(tmp_path):
    photos = tiny.write_photos(tmp_path / "photos")
    portraits = DataConfig(path=str(photos))
    found, said = by_path(portraits, named=False)
    assert found.name == "folder" and "data.name is folder, not portraits" in said
    with pytest.raises(UserError, match=r"leave `data\.name` out"):
        by_path(portraits, named=True)
    nowhere = DataConfig(path=str(tmp_path / "nowhere"))
    assert by_path(nowhere, named=False) == (nowhere, None)
    for config in (portraits, nowhere):
        with pytest.raises(UserError, match=r"'portraits' could use, which is drawn"):
            open_source(config)
    packed = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    for name in ("folder", "pyramid", "portraits", "tfds:mnist"):
        assert by_path(DataConfig(name=name, path=packed), named=False)[0].name == "zip"
    tfds = DataConfig(name="tfds:mnist", path=str(tmp_path))
    assert by_path(tfds, named=True) == (tfds, None)


def test_the_corner_is_a_square_without_one_quadrant():
    options = {"name": "corner", "num_channels": 2, "points_size": 20_000}
    source, points = all_points(DataConfig(**options))
    assert np.abs(points).max() <= 1 and not (points > 0).all(axis=1).any()
    counts = np.histogram2d(*points.T, bins=4, range=[(-1, 1), (-1, 1)])[0]
    # Twelve of sixteen cells have 1,667 each, with a standard deviation of 39.
    assert np.all(np.abs(counts - 20_000 / 12)[counts > 0] < 200)
    assert (counts > 0).sum() == 12
    np.testing.assert_allclose(
        points[points[:, 1] > 0].mean(axis=0), source.centers[1], atol=0.02
    )
    assert source.std == pytest.approx(
        (points[:, 1][points[:, 0] > 0] + 0.5).std(), rel=0.03
    )
