import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.frechet import frechet_distance
from stylegan_jax.metrics.statistics import Statistics, statistics_of


def normal(mean, covariance, count=10**6):
    return Statistics(count, np.asarray(mean, float), np.asarray(covariance, float))


def rotation(size, seed=0):
    return np.linalg.qr(np.random.RandomState(seed).randn(size, size))[0]


@pytest.mark.parametrize("case", ["full", "rank_deficient", "self"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_it_agrees_with_the_reference(shared_dir, case, ddof):
    data = np.load(shared_dir / "reference" / "metrics" / "metrics.npz")
    x, y = data["X_real"], data["Y_gen"]
    if case == "rank_deficient":
        n, m = data["n_rank_deficient"]
        x, y = x[:n], y[:m]
    a, b = statistics_of([x]), statistics_of([x if case == "self" else y])
    ours, exact = (
        frechet_distance(a, b, ddof=ddof),
        data[f"fid/{case}/exact_ddof{ddof}"],
    )
    if case == "self":
        assert abs(ours) < 1e-10
    else:
        np.testing.assert_allclose(ours, exact, rtol=1e-11)


def test_shift_and_scale_add_up():
    # Commuting covariances: sum of (difference of means)^2 and of deviations^2.
    turn, shift = rotation(6), np.array([1.0, -2, 0, 0.5, 0, 0])
    a, b = np.array([1.0, 2, 3, 4, 5, 6]), np.array([2.0, 2, 1, 4, 0, 9])
    expected = np.sum(shift**2) + np.sum((a - b) ** 2)
    first = normal(np.zeros(6), turn * a**2 @ turn.T)
    second = normal(turn @ shift, turn * b**2 @ turn.T)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-12)


def test_covariances_that_do_not_commute():
    # For 2 x 2: tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)).
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    distance = frechet_distance(normal([0, 0], a), normal([0, 0], b))
    assert distance == pytest.approx(expected, rel=1e-12)


def test_features_have_no_distance_from_themselves():
    features = np.random.RandomState(0).randn(100, 30) + 5
    features[:, 3] = 0  # a dead feature
    for count in (100, 20):  # a full covariance and a singular one
        statistics = statistics_of([features[:count]])
        assert abs(frechet_distance(statistics, statistics)) < 1e-10


def test_normals_on_different_lines_and_a_point():
    # Covariances of rank one: the overlap is the product of deviations times the
    # cosine between the lines.
    u, v = np.array([1.0, 0, 0]), np.array([0.6, 0.8, 0])
    a, b = normal(u * 0, 4 * np.outer(u, u)), normal(u * 0, 9 * np.outer(v, v))
    assert frechet_distance(a, b) == pytest.approx(4 + 9 - 2 * 2 * 3 * 0.6, rel=1e-12)
    point = normal(u, np.zeros((3, 3)))
    assert frechet_distance(a, point) == pytest.approx(5, rel=1e-12)


def test_ddof_divides_by_the_count():
    a, b = normal([0], [[4.0]], count=2), normal([0], [[1.0]], count=5)
    assert frechet_distance(a, b) == pytest.approx(1)
    expected = (2 * np.sqrt(1 / 2) - np.sqrt(4 / 5)) ** 2
    assert frechet_distance(a, b, ddof=0) == pytest.approx(expected)
    with pytest.raises(ValueError, match="ddof 2"):
        frechet_distance(a, b, ddof=2)


def test_different_extractors_are_refused():
    with pytest.raises(UserError, match="of 1 and of 2 features"):
        frechet_distance(normal([0], [[1]]), normal([0, 0], np.eye(2)))
