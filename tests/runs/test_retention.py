"""Which checkpoint is the best one, and that it is kept."""

import math

import jax.numpy as jnp
import pytest

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.runs import retention
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.runs.retention import Criterion

CONFIG = CheckpointConfig(keep_last=1, keep_every_kimg=None)
STATE = {"a": jnp.ones(2)}


def save_scored(tmp_path, scores, larger_is_better, config=CONFIG):
    """Saves checkpoints 100, 200, ... with (resolution, score)."""
    with Checkpoints(tmp_path, config) as checkpoints:
        for i, (resolution, score) in enumerate(scores):
            nimg = 100 * (i + 1)
            checkpoints.save(nimg, STATE)
            checkpoints.record_scores(
                nimg, "m", {"m": score}, resolution, Criterion("m", larger_is_better)
            )
    return checkpoints.directory


def kept(directory):
    return sorted(int(path.name[5:]) for path in directory.glob("nimg_*"))


@pytest.mark.parametrize(
    ("larger", "scores", "best"),
    [
        (False, [3, 1, 2, 5], 200),
        (True, [3, 1, 2, 5], 400),
        (True, [7, 1, 2, 5], 100),
        (False, [2, 1, 1, 5], 300),  # of equals the newest
        (False, [3, math.nan, 4, -math.inf], 100),
    ],
)
def test_the_best_score_is_kept_besides_the_newest(tmp_path, larger, scores, best):
    directory = save_scored(tmp_path, [(8, score) for score in scores], larger)
    assert retention.read_best(directory).nimg == best
    assert {best, 400} <= set(kept(directory))
    # The next save removes what was neither.
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        checkpoints.save(500, STATE)
    assert kept(directory) == [best, 500]


def test_a_score_at_a_lower_resolution_does_not_compare(tmp_path):
    directory = save_scored(tmp_path, [(8, 1), (16, 9), (16, 8), (16, 8.5)], False)
    assert retention.read_best(directory).nimg == 300
    assert kept(directory) == [300, 400]


def test_milestones_stay_besides_the_best(tmp_path):
    config = CheckpointConfig(keep_last=1, keep_every_kimg=0.2)
    directory = save_scored(tmp_path, [(8, x) for x in (1, 2, 3, 4, 5)], False, config)
    assert kept(directory) == [100, 200, 400, 500]


def test_the_best_stays_when_nothing_is_scored_any_more(tmp_path):
    directory = save_scored(tmp_path, [(8, 1)], False)
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        for nimg in (200, 300, 400):
            checkpoints.save(nimg, STATE)
    assert kept(directory) == [100, 400]


def test_another_score_may_choose_from_then_on(tmp_path):
    directory = save_scored(tmp_path, [(8, 1), (8, 2)], False)
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        checkpoints.save(300, STATE)
        other = Criterion("n", True)
        checkpoints.record_scores(300, "m", {"m": 5.0}, 8, other)
        assert retention.read_best(directory).nimg == 100  # nothing has an n yet
        checkpoints.record_scores(300, "n", {"n": 5.0}, 8, other)
    assert retention.read_best(directory) == (
        *("nimg_000000300", 300, 8),
        *("n", 5.0, True),
    )
    assert retention.read_scores(directory / "nimg_000000300") == {
        "m": {"m": 5.0},
        "n": {"n": 5.0},
    }


def test_a_checkpoint_comes_back_with_its_scores_and_without_if_it_has_none(tmp_path):
    save_scored(tmp_path, [(8, 1)], False)
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        assert checkpoints.restore_latest(STATE).scores == {"m": {"m": 1}}
        checkpoints.save(200, STATE)
        assert checkpoints.restore_latest(STATE).scores == {}


def test_a_damaged_best_checkpoint_gives_way_to_the_next(tmp_path):
    config = CheckpointConfig(keep_last=9)
    directory = save_scored(tmp_path, [(8, 2), (8, 3), (8, 1)], False, config)
    meta = directory / "nimg_000000300" / "meta"
    next(path for path in meta.iterdir() if path.is_file()).write_text("{}")
    with Checkpoints(tmp_path, config) as checkpoints:
        assert checkpoints.restore_latest(STATE).nimg == 200
    assert retention.read_best(directory).nimg == 100
    assert retention.best_path(directory).name == "nimg_000000100"


def test_a_run_without_a_best_checkpoint_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="nothing was scored in training"):
        loading.load(tmp_path / "checkpoints" / "best")
    with pytest.raises(UserError, match="does not exist"):
        loading.load(tmp_path / "best")


def test_scores_of_a_checkpoint_that_was_not_written_are_nowhere(tmp_path):
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        checkpoints.record_scores(100, "m", {"m": 1.0}, 8, Criterion("m", False))
    assert list(checkpoints.directory.iterdir()) == []
