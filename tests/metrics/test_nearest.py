"""Neighbours against every distance in float64; the copying test in closed form."""

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import nearest_images as module
from stylegan_jax.metrics.nearest_images import copying, nearest


class Mean:
    """Features of an image: the mean of each channel."""

    name, size = "mean", 3

    def __call__(self, images):
        return np.asarray(images, np.float32).mean(axis=(1, 2))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("features", [None, Mean()], ids=["pixels", "features"])
def test_neighbours_are_those_of_all_distances(features, mirror, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)  # the last block has two images
    rng = np.random.RandomState(0)
    data = rng.randint(0, 256, (23, 4, 4, 3), np.uint8)
    copied = data[[17], :, ::-1] if mirror else data[[17]]
    queries = np.concatenate([copied, rng.randint(0, 256, (4, 4, 4, 3), np.uint8)])
    found = nearest(queries, data, 3, features=features, mirror=mirror)
    x, y, turned = (
        (a.astype(float) if features is None else a.mean(axis=(1, 2))[:, None, None])
        for a in (queries, data, data[:, :, ::-1])
    )
    squares = ((x[:, None] - y[None]) ** 2).sum(axis=(2, 3, 4))
    if mirror:
        other = ((x[:, None] - turned[None]) ** 2).sum(axis=(2, 3, 4))
        squares = np.minimum(squares, other)
    distances = np.sqrt(squares / (48 if features is None else 1))
    order = np.argsort(distances, axis=1)[:, :3]
    np.testing.assert_array_equal(found.indices, order)
    expected = np.take_along_axis(distances, order, axis=1)
    np.testing.assert_allclose(found.distances, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.images, data[order])
    assert found.indices[0, 0] == 17 and found.distances[0, 0] == 0


def test_other_channels_and_too_few_images_are_refused():
    data = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(UserError, match=r"3 channels .* have 1"):
        nearest(data[..., :1], data)
    with pytest.raises(UserError, match=r"`count` 3: .* has 2 images"):
        nearest(data, data, 3)


def test_a_folder_is_read_with_the_channels_of_the_queries(tiny_photos):
    found = nearest(np.zeros((2, 16, 16, 1), np.uint8), tiny_photos, 4)
    assert found.images.shape == (2, 4, 16, 16, 1)
    assert sorted(found.indices[0]) == [0, 1, 2, 3]


def test_copying_is_the_share_of_pairs_with_the_sample_nearer():
    # 1 < 2, 1 < 3, 2 = 2, 2 < 3, 9 > 2, 9 > 3
    assert copying(np.array([1, 2, 9]), np.array([2, 3])) == (3 + 0.5) / 6
    assert copying(np.zeros(3), np.ones(2)) == 1
    with pytest.raises(UserError, match="no distances"):
        copying(np.zeros(0), np.ones(2))
