import math

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.modes import (
    coverage_of_classes,
    coverage_of_points,
    summarize,
)

CENTERS = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])


def test_collapse_to_one_mode_has_the_divergence_log_k_and_even_coverage_none():
    found = coverage_of_points(np.tile(CENTERS[2], (50, 1)), CENTERS, 0.1)
    assert (found.modes_found, found.modes, found.good_share) == (1, 4, 1.0)
    assert found.reverse_kl == pytest.approx(math.log(4))
    assert found.shares == (0, 0, 1, 0)
    found = coverage_of_points(np.tile(CENTERS, (5, 1)), CENTERS, 0.1)
    assert found.modes_found == 4 and found.good_share == 1
    assert found.reverse_kl == pytest.approx(0, abs=1e-12)


def test_good_ends_at_three_standard_deviations_and_the_rest_counts_for_shares():
    near, far = [1.299, 0.0], [1.301, 0.0]
    found = coverage_of_points(np.array([near, far, far, [0, 1.0]]), CENTERS, 0.1)
    assert found.good_share == 0.5
    assert found.shares == (0.75, 0.25, 0, 0)
    expected = 0.75 * math.log(3) + 0.25 * math.log(1)
    assert found.reverse_kl == pytest.approx(expected)


def test_a_mode_is_found_from_a_tenth_of_its_true_share_on():
    shares = np.array([0.5, 0.5])
    few = np.r_[np.zeros(96, int), np.ones(4, int)]
    enough = np.r_[np.zeros(95, int), np.ones(5, int)]
    good = np.ones(100, bool)
    assert summarize(few, good, shares).modes_found == 1
    assert summarize(enough, good, shares).modes_found == 2
    assert summarize(enough, good & (enough == 0), shares).modes_found == 1


@pytest.mark.parametrize("counts", [[80, 20], [20, 80]])
def test_unequal_shares_are_the_target(counts):
    true, found = np.array([0.8, 0.2]), np.array(counts) / 100
    ours = summarize(np.repeat([0, 1], counts), np.ones(100, bool), true)
    expected = np.sum(found * np.log(found / true))
    assert ours.reverse_kl == pytest.approx(expected, abs=1e-12)


def test_classes_count_by_the_likeliest_and_are_good_when_sure():
    probabilities = np.array([[0.95, 0.05], [0.3, 0.7], [0.08, 0.92], [0.9, 0.1]])
    found = coverage_of_classes(probabilities, np.array([0.5, 0.5]))
    assert found.shares == (0.5, 0.5) and found.good_share == 0.75
    assert "2 of 2 modes, 75.0% good samples, reverse KL 0.000" in str(found)
    with pytest.raises(UserError, match="coverage of no samples"):
        summarize(np.zeros(0, int), np.zeros(0, bool), np.ones(1))
