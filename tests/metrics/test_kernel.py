import json

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import kernel
from stylegan_jax.metrics.kernel import draw_subsets, kernel_distance, squared_mmd


@pytest.fixture(scope="module")
def reference(shared_dir):
    data = np.load(shared_dir / "reference" / "metrics" / "metrics.npz")
    return {name: data[name] for name in data}


def test_subsets_agree_with_the_reference(reference):
    settings = json.loads(str(reference["kid/settings"]))
    ours = kernel_distance(
        reference["X_real"],
        reference["Y_gen"],
        subsets=settings["kid_subsets"],
        subset_size=settings["kid_subset_size"],
        seed=settings["rng_seed"],
    )
    for found, name, rtol in [
        (ours.mean, "torch_fidelity_f64/mean", 1e-11),
        (ours.mean, "stylegan2_ada_f64", 1e-11),
        (ours.std, "torch_fidelity_f64/std", 1e-11),
        (ours.values, "per_subset", 1e-5),
        (ours.mean, "torch_fidelity_f32/mean", 1e-5),
        (ours.std, "torch_fidelity_f32/std", 1e-5),
    ]:
        np.testing.assert_allclose(found, reference[f"kid/{name}"], rtol=rtol)
    real, fake = draw_subsets(500, 400, subsets=50, subset_size=100, seed=2020)
    np.testing.assert_array_equal(real, reference["kid/subset_idx_real"])
    np.testing.assert_array_equal(fake, reference["kid/subset_idx_gen"])


@pytest.mark.parametrize("block", [37, 2048])
def test_all_features_agree_with_the_reference(reference, block, monkeypatch):
    monkeypatch.setattr(kernel, "_BLOCK", block)
    x, y = reference["X_real"], reference["Y_gen"]
    expected = reference["kid/full_unbiased_mmd2"]
    np.testing.assert_allclose(squared_mmd(x, y), expected, rtol=1e-11)


def test_a_loop_over_pairs_gives_the_same():
    rng = np.random.RandomState(0)
    x, y = rng.randn(4, 3), rng.randn(5, 3) + 1

    def mean(first, second, keep):
        values = [
            (sum(a * b for a, b in zip(first[i], second[j], strict=True)) / 3 + 1) ** 3
            for i in range(len(first))
            for j in range(len(second))
            if keep(i, j)
        ]
        return sum(values) / len(values)

    cross = mean(x, y, lambda i, j: True)
    own = [mean(z, z, lambda i, j: i != j) for z in (x, y)]
    assert squared_mmd(x, y) == pytest.approx(sum(own) - 2 * cross, rel=1e-12)


def test_points_have_a_closed_form():
    # All mass in one point each: k(x, x) + k(y, y) - 2 k(x, y).
    x, y = np.tile([1.0, 2], (3, 1)), np.tile([-1.0, 1], (4, 1))
    expected = (5 / 2 + 1) ** 3 + (2 / 2 + 1) ** 3 - 2 * (1 / 2 + 1) ** 3
    assert squared_mmd(x, y) == pytest.approx(expected)
    distance = kernel_distance(x, y, subsets=2)  # subsets of no more than there are
    assert distance.mean == pytest.approx(expected) and distance.std < 1e-12


def test_features_that_do_not_fit_are_rejected():
    with pytest.raises(UserError, match=r"\[3, 2\] and \[3, 4\]"):
        squared_mmd(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(UserError, match="3 real and 1 fake"):
        kernel_distance(np.zeros((3, 2)), np.zeros((1, 2)))
    with pytest.raises(UserError, match="give a subset_size from 2 to 3"):
        kernel_distance(np.zeros((3, 2)), np.zeros((4, 2)), subset_size=100)
