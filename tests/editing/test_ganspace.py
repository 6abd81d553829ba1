import dataclasses

import jax
import numpy as np
import pytest

from stylegan_jax.editing import ganspace
from stylegan_jax.editing.directions import Direction, apply, signed_distance
from stylegan_jax.editing.ganspace import (
    principal_directions,
    statistics_of_w,
    with_std_of,
)
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.frechet import statistics_of
from tests import tiny


@pytest.fixture(scope="module")
def samples():
    """300 samples with a mean of 5 and deviations from 3 down to 0.5."""
    draw = np.random.RandomState(0)
    turned, _ = np.linalg.qr(draw.randn(6, 6))
    return 5 + (draw.randn(300, 6) * np.linspace(3, 0.5, 6)) @ turned


def test_components_are_the_singular_vectors_of_the_centred_samples(samples):
    found = principal_directions(statistics_of([samples[:120], samples[120:]]), 6)
    centred = samples - samples.mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose([d.std for d in found], singular / np.sqrt(299))
    cosines = [d.vector @ row for d, row in zip(found, right, strict=True)]
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-9)
    assert [d.name for d in found[:2]] == ["pca1", "pca2"]
    assert all(d.vector[np.abs(d.vector).argmax()] > 0 for d in found)


def test_an_edit_is_the_papers_and_the_distance_is_the_coordinate(samples):
    direction = principal_directions(statistics_of([samples]), 3, layers=[1])[2]
    ws = np.repeat(samples[:4, None], 2, axis=1).astype(np.float32)
    sigmas = np.array([-2, 0, 1, 2.0])
    moved = apply(ws, direction, sigmas * direction.std, distance="relative")
    expected = ws.copy()
    expected[:, 1] += sigmas[:, None] * direction.std * direction.vector
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    coordinates = (ws[:, 1] - samples.mean(axis=0)) @ direction.vector
    np.testing.assert_allclose(signed_distance(ws, direction), coordinates, atol=1e-5)


def test_statistics_are_those_of_the_mapped_samples(monkeypatch):
    even = {"labels": LabelDistribution.even(2), "quiet": True}
    generator = tiny.generator(dataclasses.replace(tiny.MODEL_8, label_size=2))
    found = statistics_of_w(generator, 4000, **even)
    assert found.count == 4000
    # Another route: latents of our own.
    z = jax.random.normal(jax.random.key(9), (4000, 6))
    labels = jax.nn.one_hot(np.arange(4000) % 2, 2)
    w = np.asarray(jax.jit(generator.map)(z, labels)[:, 0], np.float64)
    covariance = np.cov(w, rowvar=False)
    spread = np.sqrt(np.diag(covariance))
    assert np.abs((found.mean - w.mean(0)) / spread).max() < 0.1
    scale = np.outer(spread, spread)
    assert np.abs((found.covariance - covariance) / scale).max() < 0.15
    # A sample depends on its number, not on the part that it is drawn in.
    monkeypatch.setattr(ganspace, "_TOGETHER", 640)
    again = statistics_of_w(generator, 4000, **even)
    np.testing.assert_allclose(again.mean, found.mean, atol=1e-5)
    np.testing.assert_allclose(again.covariance, found.covariance, atol=1e-5)


def test_more_components_than_there_are_are_rejected(samples):
    flat = samples.copy()
    flat[:, 0] = flat[:, 1]
    with pytest.raises(UserError, match="w varies in 5 dimensions"):
        principal_directions(statistics_of([flat]), 6)
    with pytest.raises(UserError, match="w varies in 2 dimensions"):
        principal_directions(statistics_of([samples[:3]]), 3)


def test_deviations_along_are_those_of_the_samples_distances(samples):
    statistics = statistics_of([samples])
    draw = np.random.RandomState(1)
    ws = np.repeat(samples[:, None], 4, axis=1)
    for direction in (
        Direction(name="x", vector=draw.randn(6), intercept=3.0),
        Direction(name="x", vector=draw.randn(6), layers=(1, 2)),
        Direction(name="x", vector=draw.randn(4, 6)),
        Direction(name="x", vector=draw.randn(4, 6), layers=(0, 3)),
    ):
        found = with_std_of(direction, statistics)
        distances = np.asarray(signed_distance(ws, direction), np.float64)
        assert found.std == pytest.approx(np.std(distances, ddof=1), rel=1e-4)
        np.testing.assert_allclose(found.vector, direction.vector, rtol=1e-12)
    in_z = Direction(name="z", vector=draw.randn(9), space="z")
    assert with_std_of(in_z, statistics).std == 1
    with pytest.raises(UserError, match="belongs to another network"):
        with_std_of(Direction(name="x", vector=draw.randn(5)), statistics)
