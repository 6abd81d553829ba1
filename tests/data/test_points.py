import numpy as np
import pytest

from stylegan_jax.data import stream
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.decoded_cache import DecodedSource
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError

RING = DataConfig(name="ring", num_channels=2, points_size=20_000)


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


def test_points_depend_on_the_seed_alone():
    _, points = all_points(RING)
    _, again = all_points(RING)
    _, others = all_points(DataConfig(name="ring", num_channels=2, seed=1))
    np.testing.assert_array_equal(points, again)
    assert not np.array_equal(points[:100], others[:100])


def test_batches_of_points_are_float32_as_they_are():
    source, points = all_points(RING)
    decoded = DecodedSource(source, RING.cache_bytes, RING.dtype)
    options = {"resolution": 1, "repeats": 2, "batch_size": 8, "seed": 0}
    with stream.batches(decoded, start_nimg=0, mirror=False, **options) as batches:
        first = next(batches)
    assert first["images"].shape == (2, 8, 1, 1, 2)
    assert first["images"].dtype == np.float32
    order, _ = stream.Order(len(points), seed=0, mirror=False).at(np.arange(16))
    np.testing.assert_array_equal(first["images"].reshape(16, 2), points[order])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_channels": 3}, "points of 'ring' have 2 coordinates"),
        ({"labels": "mode"}, "labels 'mode' of a ring must be none"),
        ({"points_std": 0.0}, "points_std 0.0 positive"),
        ({"ring_modes": 0}, "ring_modes 0 at least 1"),
    ],
)
def test_what_points_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**{"name": "ring", "num_channels": 2, **changes})
