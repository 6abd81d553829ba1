import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.statistics import (
    RunningStatistics,
    load_statistics,
    merge_statistics,
    statistics_of,
)


def make_features(count=700, size=9, offset=3.0, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randn(count, size) @ rng.randn(size, size) + offset


def same(a, b, rtol=1e-12):
    assert a.count == b.count
    scale = np.abs(b.covariance).max()
    np.testing.assert_allclose(a.mean, b.mean, rtol=rtol, atol=0)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=0, atol=rtol * scale)


def test_they_are_those_of_numpy():
    features = make_features()
    ours = statistics_of([features])
    assert ours.count == 700 and ours.mean.dtype == np.float64
    np.testing.assert_allclose(ours.mean, features.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(
        ours.covariance, np.cov(features, rowvar=False), rtol=1e-11, atol=1e-13
    )


def test_batches_do_not_matter():
    features = make_features(10_000).astype(np.float32)  # more than are taken at once
    whole = statistics_of([features])
    same(whole, statistics_of([features.astype(np.float64)]), rtol=0)
    for size in (1, 8, 333, 9000):
        parts = [features[i : i + size] for i in range(0, len(features), size)]
        same(statistics_of(iter(parts)), whole)
    same(statistics_of([features[:0], features, features[:0]]), whole, rtol=0)


def test_parts_of_different_sizes_merge_in_any_order():
    features = make_features()
    whole = statistics_of([features])
    parts = np.split(features, [2, 50, 300])
    known = [statistics_of([part]) for part in parts]
    same(merge_statistics(known), whole)
    same(merge_statistics(reversed(known)), whole)
    running = [RunningStatistics(9) for _ in range(3)]  # one of them stays empty
    running[0].add(parts[0][:1])
    running[1].add(np.concatenate([parts[0][1:], *parts[1:]]))
    for other in running[1:]:
        running[0].merge(other)
    same(running[0].statistics(), whole)


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
def test_files_that_are_something_else_are_refused(tmp_path, change, message):
    path = tmp_path / "reals.npz"
    fields = {"count": 5, "mean": np.zeros(3), "covariance": np.eye(3)}
    np.savez(path, **fields)
    assert load_statistics(path).count == 5
    np.savez(path, **{**fields, **change})
    with pytest.raises(UserError, match=message):
        load_statistics(path)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none.npz does not exist"):
        load_statistics(tmp_path / "none.npz")
    path = tmp_path / "broken.npz"
    for content in (b"", b"text", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"broken.npz is not a file of statistics"):
            load_statistics(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"array.npy is not a file of statistics"):
        load_statistics(tmp_path / "array.npy")


def test_features_that_cannot_be_used_are_refused():
    running = RunningStatistics(3)
    with pytest.raises(UserError, match=r"shape \[2, 4\] where \[N, 3\]"):
        running.add(np.zeros((2, 4)))
    with pytest.raises(UserError, match=r"of image 1 are not finite \(1 of 2"):
        running.add(np.array([[0, 0, 0], [0, np.inf, 0]]))
    with pytest.raises(UserError, match="4 features cannot join those of 3"):
        running.merge(RunningStatistics(4))
    for count in (0, 1):
        running = RunningStatistics(3)
        running.add(np.zeros((count, 3)))
        with pytest.raises(UserError, match=f"covariance of {count} features"):
            running.statistics()
    with pytest.raises(UserError, match="covariance of 0 features"):
        statistics_of([])
