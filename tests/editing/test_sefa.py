import dataclasses

import numpy as np
import pytest

from stylegan_jax.editing.sefa import factorize, sefa_directions, style_weights
from stylegan_jax.errors import UserError
from tests import tiny


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


def test_mistakes_are_told(generator):
    for message, call in [
        ("not some of 0 to 5", lambda: sefa_directions(generator, 1, layers=[6])),
        ("not some of 0 to 5", lambda: sefa_directions(generator, 1, layers=[])),
        ("7 directions; w has 6", lambda: sefa_directions(generator, 7)),
        ("factorised together", lambda: factorize([np.ones((3, 2)), np.ones((4, 2))])),
        ("not finite", lambda: factorize([np.full((3, 2), np.nan)])),
    ]:
        with pytest.raises(UserError, match=message):
            call()
