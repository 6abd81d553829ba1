import dataclasses

import numpy as np
import pytest

from stylegan_jax.editing.directions import apply, signed_distance
from stylegan_jax.editing.pairs import pair_direction
from stylegan_jax.errors import UserError

_SHIFT = np.zeros((3, 4))
_SHIFT[0] = [0, 0, 0, 1]
_SHIFT[1] = [3, 0, 4, 0]
_SHIFT[2] = [0, 2, 0, 0]


@pytest.fixture
def people():
    return np.random.RandomState(0).randn(6, 3, 4)


def test_a_change_that_all_share_is_found(people):
    # Rows of length 1, 5 and 2: a root mean square of the square root of 10.
    direction, agreement = pair_direction(people, people + _SHIFT, name="smile")
    np.testing.assert_allclose(direction.vector, _SHIFT / np.sqrt(10), atol=1e-12)
    assert direction.std == pytest.approx(np.sqrt(10) / 2)
    assert agreement == 1
    assert "6 pairs" in direction.provenance


def test_two_deviations_lead_from_without_to_with(people):
    direction, _ = pair_direction(people, people + _SHIFT, name="smile")
    moved = apply(people, direction, 2 * direction.std, distance="relative")
    np.testing.assert_allclose(moved, people + _SHIFT, atol=1e-5)
    # The plane is in the middle.
    middle = people.mean(0, keepdims=True) + _SHIFT / 2
    np.testing.assert_allclose(signed_distance(middle, direction), 0, atol=1e-6)
    having = signed_distance((people + _SHIFT).mean(0, keepdims=True), direction)
    np.testing.assert_allclose(having, direction.std, rtol=1e-5)


def test_of_some_layers(people):
    chosen, _ = pair_direction(people, people + _SHIFT, name="smile", layers=(0, 2))
    assert chosen.layers == (0, 2)
    assert chosen.std == pytest.approx(np.sqrt((1 + 4) / 2) / 2)
    moved = apply(people, chosen, 2 * chosen.std, distance="relative")
    expected = people + _SHIFT * np.array([[1], [0], [1]])
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    middle = people.mean(0, keepdims=True) + _SHIFT / 2
    np.testing.assert_allclose(signed_distance(middle, chosen), 0, atol=1e-6)
    again = dataclasses.replace(chosen)
    np.testing.assert_array_equal(again.vector, chosen.vector)


def test_agreement_leaves_the_pair_itself_out():
    # The third goes against the mean of the others.
    after = np.array([[2.0, 0], [3, 0], [-1, 0]]).reshape(3, 1, 2)
    _, agreement = pair_direction(np.zeros((3, 1, 2)), after, name="smile")
    assert agreement == pytest.approx(2 / 3)
    # Each of two opposite changes goes against the other, whichever is longer.
    after = np.array([[5.0, 0], [-1, 0]]).reshape(2, 1, 2)
    assert pair_direction(0 * after, after, name="smile").agreement == 0
    # In layers where it does not act pairs may differ.
    both = np.concatenate([np.ones((2, 1, 2)), 10 * after], axis=1)
    assert pair_direction(0 * both, both, name="s", layers=[0]).agreement == 1


def test_mistakes_are_told(people):
    with pytest.raises(UserError, match="two of them, not 1"):
        pair_direction(people[:1], people[:1] + _SHIFT, name="smile")
    with pytest.raises(UserError, match=r"\(6, 3, 4\) and \(5, 3, 4\)"):
        pair_direction(people, people[:5], name="smile")
    with pytest.raises(UserError, match=r"must be \[pairs, layers, w_dim\]"):
        pair_direction(people[:, 0], people[:, 0], name="smile")
    with pytest.raises(UserError, match="'smile' is zero"):
        pair_direction(people, people, name="smile")
    with pytest.raises(UserError, match="not finite"):
        pair_direction(people, people * np.nan, name="smile")
    with pytest.raises(UserError, match=r"layers \[0, 3\]"):
        pair_direction(people, people + _SHIFT, name="smile", layers=(0, 3))
