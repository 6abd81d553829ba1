import numpy as np
import pytest

from stylegan_jax.editing import attributes
from stylegan_jax.editing.attributes import (
    attribute_directions,
    condition_on_each_other,
    find_boundary,
)
from stylegan_jax.editing.directions import Direction
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.separability import LabelledLatents


@pytest.fixture(scope="module")
def samples():
    """Two attributes that lean the same way: their directions have a cosine of 0.6."""
    draw = np.random.RandomState(0)
    w = draw.randn(4000, 8).astype(np.float32)
    first, second = np.eye(8)[0], 0.6 * np.eye(8)[0] + 0.8 * np.eye(8)[1]
    scores = np.stack([w @ first + 1, 3 * (w @ second)], axis=1)
    scores += 0.1 * draw.randn(4000, 2)
    z = draw.randn(4000, 4).astype(np.float32)
    return LabelledLatents(z, w, scores.astype(np.float32), ("age", "glasses"))


@pytest.fixture
def find(samples, monkeypatch):
    """`attribute_directions` of these samples."""
    monkeypatch.setattr(attributes, "sample_for_separability", lambda *_, **__: samples)
    return lambda **options: attribute_directions(None, {}, **options)


@pytest.mark.parametrize("fit", ["svm", "regression"])
def test_the_direction_is_found_and_told_apart(samples, find, fit):
    (first, second), directions = find(fit=fit, conditional="none")
    assert directions == [first.direction, second.direction]
    least = {"svm": 0.97, "regression": 0.9995}[fit]
    assert first.direction.vector[0] > least
    assert second.direction.vector @ [0.6, 0.8, 0, 0, 0, 0, 0, 0] > least
    assert first.direction.name == "age" and first.direction.space == "w"
    assert first.validation_accuracy == second.validation_accuracy == 1
    assert first.rest_accuracy > 0.8
    along = samples.w @ first.direction.vector
    assert first.direction.std == pytest.approx(np.std(along), rel=1e-6)
    in_z = find(space="z", fit=fit)[0][0]
    assert in_z.direction.space == "z" and in_z.direction.dim == 4


def test_the_plane_of_two_pairs_is_the_widest_street():
    # On the line: -1, 1 and 5, 10 are the extremes; one of each pair is fitted to, and
    # the plane is half-way between the two. 3.2, 2.9 and 4 are the rest.
    positions = np.array([-1.0, 1, 5, 10, 3.2, 2.9, 4])
    latents = positions[:, None] * [[0.6, 0.8]]
    scores = np.array([-9.0, -8, 8, 9, 1, -1, -2])
    offsets = set()
    for seed in range(8):
        options = {"name": "x", "extremes": 2, "seed": seed}
        found = find_boundary(latents, scores, **options)
        np.testing.assert_allclose(found.direction.vector, [0.6, 0.8], atol=1e-3)
        offset = -found.direction.intercept
        low, high = {4: (-1, 5), 6: (1, 5), 9: (-1, 10), 11: (1, 10)}[round(2 * offset)]
        assert offset == pytest.approx((low + high) / 2, abs=1e-3)
        held_out = [offset > -low, 15 - high > offset]  # the other one of each pair
        assert found.validation_accuracy == np.mean(held_out)
        # Of the rest only 3.2 scores above the middle, 0.
        sides = positions[4:] > offset
        assert found.rest_accuracy == np.mean(sides == [True, False, False])
        assert found.num_train == 2
        offsets.add(round(offset))
    assert len(offsets) > 1


def test_the_rest_is_judged_by_the_middle_of_the_scores(samples):
    """Not by 0, nor the median: a far outlier shifts it."""
    scores = samples.logits[:, 0].copy()
    scores[0] = 100
    found = find_boundary(samples.w, scores, name="x")
    order = np.argsort(-scores)
    rest = order[80:-80]
    sides = samples.w @ found.direction.vector + found.direction.intercept > 0
    assert found.rest_accuracy == pytest.approx(np.mean(~sides[rest]))


def test_extremes_are_a_share_or_a_number(samples):
    options = {"name": "x", "seed": 1}
    share = find_boundary(samples.w, samples.logits[:, 0], extremes=0.05, **options)
    number = find_boundary(samples.w, samples.logits[:, 0], extremes=200, **options)
    most = find_boundary(samples.w, samples.logits[:, 0], extremes=5000, **options)
    assert share.num_train == number.num_train == 2 * 140
    assert most.num_train == 2 * 1400 and np.isnan(most.rest_accuracy)


def test_regression_equals_the_normal_equations(samples):
    scores = samples.logits[:, 1].astype(np.float64)
    found = find_boundary(samples.w, scores, name="x", fit="regression", extremes=2000)
    # It is fitted to a part of the samples; these are the slopes of all.
    centred = samples.w - samples.w.mean(0)
    slopes = np.linalg.solve(centred.T @ centred, centred.T @ (scores - scores.mean()))
    cosine = found.direction.vector @ slopes / np.linalg.norm(slopes)
    assert cosine > 0.9999 and found.num_train == 2800


def test_conditioned_directions_leave_each_other_alone(samples, find):
    boundaries, (first, second) = find(fit="regression")
    found = [boundary.direction for boundary in boundaries]
    assert abs(first.vector @ found[1].vector) < 1e-12
    assert abs(second.vector @ found[0].vector) < 1e-12
    assert [first.name, second.name] == ["age", "glasses"]
    # Rid of the other's part, the first leans away from it.
    np.testing.assert_allclose(first.vector[:2], [0.8, -0.6], atol=0.02)
    assert first.std == pytest.approx(np.std(samples.w @ first.vector), rel=1e-6)
    assert "leaves glasses" in first.provenance


def test_the_likeliest_direction_goes_furthest_for_its_standard_deviations(samples):
    draw = np.random.RandomState(2)
    turned, _ = np.linalg.qr(draw.randn(8, 8))
    latents = 3 + (draw.randn(4000, 8) * 2.0 ** -np.arange(8)) @ turned
    given = [
        Direction(name=name, vector=draw.randn(8)) for name in ("age", "glasses", "hat")
    ]
    found = condition_on_each_other(given, latents, conditional="likely")
    precision = np.linalg.inv(np.cov(latents, rowvar=False))

    def length(vector):
        return np.sqrt(np.einsum("...i,ij,...j", vector, precision, vector))

    for i, direction in enumerate(found):
        others = np.stack([d.vector for d in given if d is not given[i]])
        np.testing.assert_allclose(others @ direction.vector, 0, atol=1e-9)
        best = given[i].vector @ direction.vector / length(direction.vector)
        # Whatever else leaves the others alone, near and far, gains less.
        free = np.linalg.svd(others)[2][2:]
        rivals = draw.randn(4, 2000, 6) @ free
        rivals = direction.vector + rivals * [[[1e-3]], [[1e-2]], [[0.1]], [[10.0]]]
        np.testing.assert_allclose(rivals @ others.T, 0, atol=1e-9)
        assert best > (rivals @ given[i].vector / length(rivals)).max()
        along = latents @ direction.vector
        assert direction.intercept == pytest.approx(-along.mean())
        assert direction.std == pytest.approx(along.std())
    # One by itself is the covariance times its normal.
    (alone,) = condition_on_each_other(given[:1], latents, conditional="likely")
    expected = np.cov(latents, rowvar=False) @ given[0].vector
    np.testing.assert_allclose(alone.vector, expected / np.linalg.norm(expected))


def test_mistakes_are_told(samples):
    w, scores = samples.w, samples.logits[:, 0]
    for message, call in [
        ("not finite", lambda: find_boundary(w, scores * np.nan, name="x")),
        ("the same score", lambda: find_boundary(w, 0 * scores, name="x")),
        ("draw more", lambda: find_boundary(w[:50], scores[:50], name="x")),
    ]:
        with pytest.raises(UserError, match=message):
            call()
