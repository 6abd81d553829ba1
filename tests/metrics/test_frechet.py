import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.frechet import (
    RunningStatistics,
    Statistics,
    frechet_distance,
    load_statistics,
    statistics_of,
)


def normal(mean, covariance, count=10**6):
    return Statistics(count, np.asarray(mean, float), np.asarray(covariance, float))


def make_features(count=700, size=9, offset=3.0, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randn(count, size) @ rng.randn(size, size) + offset


def same(a, b, rtol=1e-12):
    assert a.count == b.count
    scale = np.abs(b.covariance).max()
    np.testing.assert_allclose(a.mean, b.mean, rtol=rtol, atol=0)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("case", ["full", "rank_deficient", "self"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_it_agrees_with_the_reference(shared_dir, case, ddof):
    data = np.load(shared_dir / "reference" / "metrics" / "metrics.npz")
    x, y = data["X_real"], data["Y_gen"]
    if case == "rank_deficient":
        n, m = data["n_rank_deficient"]
        x, y = x[:n], y[:m]
    a, b = statistics_of([x]), statistics_of([x if case == "self" else y])
    exact = 0.0 if case == "self" else data[f"fid/{case}/exact_ddof{ddof}"]
    ours = frechet_distance(a, b, ddof=ddof)
    np.testing.assert_allclose(ours, exact, rtol=1e-11, atol=1e-10 * (exact == 0))


def test_shift_and_scale_add_up():
    # Commuting covariances: sum of (difference of means)^2 and of deviations^2.
    turn = np.linalg.qr(np.random.RandomState(0).randn(6, 6))[0]
    shift = np.array([1.0, -2, 0, 0.5, 0, 0])
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


def test_singular_covariances():
    features = make_features(100, 30)
    features[:, 3] = 0  # a dead feature
    for count in (100, 20):
        statistics = statistics_of([features[:count]])
        assert abs(frechet_distance(statistics, statistics)) < 1e-10
    # Of rank one: the product of deviations times the cosine between the lines.
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
    with pytest.raises(UserError, match="ddof 2"):
        frechet_distance(a, b, ddof=2)
    with pytest.raises(UserError, match="of 1 and of 2 features"):
        frechet_distance(a, normal([0, 0], np.eye(2)))


# --- Statistics ----------------------------------------------------------------------


def test_statistics_are_those_of_numpy_in_any_batches():
    features = make_features()
    ours = statistics_of([features])
    assert ours.count == 700 and ours.mean.dtype == np.float64
    covariance = np.cov(features, rowvar=False)
    same(ours, Statistics(700, features.mean(axis=0), covariance), rtol=1e-11)
    features = make_features(10_000).astype(np.float32)  # more than are taken at once
    whole = statistics_of([features])
    same(whole, statistics_of([features.astype(np.float64)]), rtol=0)
    for size in (1, 333, 9000):
        parts = [features[i : i + size] for i in range(0, len(features), size)]
        same(statistics_of(iter(parts)), whole)
    same(statistics_of([features[:0], features, features[:0]]), whole, rtol=0)


def test_a_large_mean_costs_no_digits():
    # Sums of squares would have 1e16 times the epsilon of float64 here: nothing left.
    features = make_features() + 1e8
    centred = features - features[0]  # exact
    running = statistics_of(np.split(features, [100, 101, 400]))
    expected = np.cov(centred, rowvar=False)
    np.testing.assert_allclose(running.covariance, expected, rtol=1e-7)


def test_a_file_gives_back_what_was_saved(tmp_path):
    ours = statistics_of([make_features()])
    ours.save(tmp_path / "new" / "reals.npz")
    same(load_statistics(tmp_path / "new" / "reals.npz"), ours, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": np.zeros(2)}, "fields are not count, covariance, mean"),
        ({"count": 1}, "count is not a whole number from 2"),
        ({"count": 3.0}, "count is not a whole number from 2"),
        ({"mean": np.zeros(3, np.float32)}, "not float64"),
        ({"mean": np.zeros(2)}, "do not match"),
        ({"mean": np.full(3, np.nan)}, "not finite"),
        ({"covariance": np.triu(np.ones((3, 3)))}, "not symmetric"),
        ({"mean": np.array([{}, 0, 0], object)}, "no plain number"),
    ],
)
def test_files_that_are_something_else_are_rejected(tmp_path, change, message):
    path = tmp_path / "reals.npz"
    fields = {"count": 5, "mean": np.zeros(3), "covariance": np.eye(3)}
    np.savez(path, **fields)
    assert load_statistics(path).count == 5
    np.savez(path, **{**fields, **change})
    with pytest.raises(UserError, match=message):
        load_statistics(path)


def test_missing_and_broken_files_are_named(tmp_path):
    path = tmp_path / "broken.npz"
    with pytest.raises(UserError, match=r"broken.npz is not .* \(.*No such file"):
        load_statistics(path)
    for content in (b"", b"text", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"broken.npz is not a file of statistics"):
            load_statistics(path)


def test_features_that_cannot_be_used_are_rejected():
    running = RunningStatistics()
    running.add(np.zeros((2, 3)))
    with pytest.raises(UserError, match=r"shape \[2, 4\] where \[N, 3\]"):
        running.add(np.zeros((2, 4)))
    with pytest.raises(UserError, match="covariance of 0 features"):
        statistics_of([])
    with pytest.raises(UserError, match="covariance of 1 features"):
        statistics_of([np.zeros((1, 3))])
