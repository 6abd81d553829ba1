import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.precision_recall import precision_recall, squared_radii


def by_definition(real, fake, k):
    """The whole matrix of distances, from differences."""

    def distances(x, y):
        return np.sum((x[:, None].astype(float) - y[None]) ** 2, axis=2)

    of_real, of_fake = (np.sort(distances(x, x), axis=1)[:, k] for x in (real, fake))
    cross = distances(fake, real)
    return (cross <= of_real).any(axis=1), (cross <= of_fake[:, None]).any(axis=0)


@pytest.mark.parametrize("block", [64, 4096])
@pytest.mark.parametrize(("case", "k"), [("k3", 3), ("k5", 5), ("k3_small", 3)])
def test_it_agrees_with_the_reference(shared_dir, case, k, block):
    data = np.load(shared_dir / "reference" / "metrics" / "metrics.npz")
    x, y = data["X_real"], data["Y_gen"]
    if case == "k3_small":
        x, y = x[:40], y[:30]
    ours = precision_recall(x, y, k=k, block=block)
    for name, hits in (("precision", ours.good_fakes), ("recall", ours.found_reals)):
        np.testing.assert_array_equal(np.packbits(hits), data[f"pr/{case}/{name}_hits"])
        assert getattr(ours, name) == data[f"pr/{case}/{name}"]
    for name, features in (("real", x), ("gen", y)):
        radii = np.sqrt(squared_radii(features, k=k, block=block))
        np.testing.assert_allclose(radii, data[f"pr/{case}/radii_{name}"], rtol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
@pytest.mark.parametrize("k", [1, 3])
def test_blocks_do_not_matter(block, k):
    rng = np.random.RandomState(0)
    # Whole numbers: ties on the sphere, and twins, and no rounding.
    real, fake = rng.randint(0, 5, (50, 3)), rng.randint(1, 7, (33, 3))
    ours = precision_recall(real, fake, k=k, block=block)
    good, found = by_definition(real, fake, k)
    assert 0 < good.mean() < 1 and 0 < found.mean() < 1
    np.testing.assert_array_equal(ours.good_fakes, good)
    np.testing.assert_array_equal(ours.found_reals, found)


def test_identical_sets_and_disjoint_sets():
    features = np.random.RandomState(0).randn(200, 16).astype(np.float32)
    same = precision_recall(features, features, block=64)
    assert same.precision == same.recall == 1
    apart = precision_recall(features, features + 100, block=64)
    assert apart.precision == apart.recall == 0


def test_one_good_picture_again_and_again_is_precise_and_recalls_itself_alone():
    real = np.random.RandomState(0).randn(100, 64) + 10
    same = precision_recall(real, np.tile(real[:1], (20, 1)), block=16)
    assert same.precision == 1 and same.recall == 0.01


def test_points_on_a_line():
    # Radii of 0, 1, 3, 7 by the nearest neighbour are 1, 1, 2, 4: real balls cover
    # [-1, 5] and [3, 11]. Fakes 10 and 12 have radius 2, so that 8 to 14 are covered.
    real = np.array([[0.0], [1], [3], [7]])
    np.testing.assert_array_equal(squared_radii(real, k=1), [1, 1, 4, 16])
    ours = precision_recall(real, np.array([[10.0], [12.0]]), k=1)
    assert (ours.precision, ours.recall) == (0.5, 0)


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"\[5, 2\] and \[5, 3\]"):
        precision_recall(np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(UserError, match="there are 5 real and 3 fake ones"):
        precision_recall(np.zeros((5, 2)), np.zeros((3, 2)))
