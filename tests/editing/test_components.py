import dataclasses

import jax
import numpy as np
import pytest

from stylegan_jax.editing import components
from stylegan_jax.editing.components import (
    factorize,
    principal_directions,
    sefa_directions,
    statistics_of_w,
    style_weights,
    with_std_of,
)
from stylegan_jax.editing.directions import Direction, apply, signed_distance
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.frechet import statistics_of
from tests import tiny

# --- SeFa ----------------------------------------------------------------------------


def test_a_known_matrix():
    # Columns of length 1: three along u, one along v. A A^T = 3 u u^T + v v^T.
    u, v = np.array([0.6, -0.8, 0.0]), np.array([0.0, 0.0, 1.0])
    weight = np.stack([2 * u, 5 * u, -7 * u, 3 * v], axis=1)
    vectors, values = factorize([weight[:, :2], weight[:, 2:]])
    np.testing.assert_allclose(values, [3, 1, 0], atol=1e-12)
    np.testing.assert_allclose(vectors[0], -u, atol=1e-12)  # largest entry positive
    np.testing.assert_allclose(vectors[1], v, atol=1e-12)
    np.testing.assert_allclose(np.abs(vectors[2]), [0.8, 0.6, 0], atol=1e-12)


def test_equals_the_singular_vectors_of_normalised_columns():
    weights = [np.random.RandomState(i).randn(5, 7 + i) for i in range(3)]
    joined = np.concatenate(weights, axis=1)
    joined[:, 4] = weights[0][:, 4] = 0  # a dead channel
    lengths = np.linalg.norm(joined, axis=0)
    left, singular, _ = np.linalg.svd(joined / np.where(lengths > 0, lengths, 1))
    vectors, values = factorize(weights)
    np.testing.assert_allclose(values, singular**2, rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(vectors * left.T, axis=1)), 1, rtol=1e-10)
    assert (vectors[np.arange(5), np.abs(vectors).argmax(1)] > 0).all()


def test_weights_are_those_of_the_styles_in_order_of_the_layers(generator):
    weights, params = style_weights(generator), generator.params["synthesis"]
    expected = [
        params[block][layer]["style"]["weight"]
        for block, layers in [
            ("block4", ("const", "conv")),
            ("block8", ("conv0", "conv1")),
            ("block16", ("conv0", "conv1")),
        ]
        for layer in layers
    ]
    for found, weight in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(found, weight)
    np.testing.assert_array_equal(style_weights(generator, [3, 0])[1], weights[0])


def test_directions_of_some_layers(generator):
    found = sefa_directions(generator, 3, layers=[2, 3])
    vectors, _ = factorize(style_weights(generator, [2, 3]))
    assert [d.name for d in found] == ["sefa1", "sefa2", "sefa3"]
    assert found[1].layers == (2, 3) and found[1].space == "w"
    np.testing.assert_allclose([d.vector for d in found], vectors[:3])
    assert sefa_directions(generator, 1)[0].layers is None


def test_a_network_without_styles_has_its_first_layer():
    without = {"use_styles": False, "const_input": False, "use_noise": False}
    progan = tiny.generator(
        dataclasses.replace(tiny.MODEL_8, mapping_layers=0, **without)
    )
    (weight,) = style_weights(progan)
    assert weight.shape == (6, 16 * 8)
    assert sefa_directions(progan, 2)[0].rows(1).shape == (1, 6)


def test_mistakes_of_factorisations_are_told(generator):
    for message, call in [
        ("not some of 0 to 5", lambda: sefa_directions(generator, 1, layers=[6])),
        ("not some of 0 to 5", lambda: sefa_directions(generator, 1, layers=[])),
        ("7 directions; w has 6", lambda: sefa_directions(generator, 7)),
        ("not finite", lambda: factorize([np.full((3, 2), np.nan)])),
    ]:
        with pytest.raises(UserError, match=message):
            call()


# --- GANSpace ------------------------------------------------------------------------


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
    direction = principal_directions(statistics_of([samples]), 3)[2]
    direction = dataclasses.replace(direction, layers=(1,))
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
    monkeypatch.setattr(components, "_TOGETHER", 640)
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
