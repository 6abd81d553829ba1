"""Checkpoints: bitwise, atomic, when they are written, and which are kept."""

import logging
import math
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.runs import retention, stored
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints, load_latest
from stylegan_jax.runs.retention import Criterion
from tests.runs.small_state import (
    assert_bitwise_equal,
    flip_array_bit,
    make_state,
    on_host,
    truncate,
    two_checkpoints,
)

ROOT = Path(stored.__file__).resolve().parents[2]
LAST = CheckpointConfig(keep_last=1, keep_every_kimg=None)
ONES = {"a": jnp.ones(2)}


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(tmp_path, CheckpointConfig(keep_last=4)) as opened:
        yield opened


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_restored_state_is_bitwise_the_saved_one(tmp_path, asynchronous, caplog):
    state = make_state()
    config = CheckpointConfig(asynchronous=asynchronous)
    with Checkpoints(tmp_path, config) as checkpoints:
        assert checkpoints.restore_latest(state) is None  # of a new run
        checkpoints.save(1000, state, {"phase": "8 px", "rate": 0.1})
    with caplog.at_level(logging.WARNING), Checkpoints(tmp_path, config) as checkpoints:
        restored = checkpoints.restore_latest(state)
    assert restored.nimg == 1000
    assert restored.metadata == {"phase": "8 px", "rate": 0.1}
    assert_bitwise_equal(restored.state, state)
    assert caplog.messages == []  # a healthy checkpoint makes no noise


def test_a_checkpoint_of_an_earlier_version_is_restored(tmp_path):
    """Written by the last version with Orbax's manager, scores and the best beside."""
    expected = make_state(2)
    run = shutil.copytree(ROOT / "tests" / "data" / "run", tmp_path / "run")
    with Checkpoints(run, CheckpointConfig()) as checkpoints:
        restored = checkpoints.restore_latest(expected)
    best = run / "checkpoints" / "nimg_000002000"
    assert restored.nimg == 2000 and retention.read_scores(best) == {"m": {"m": 1.0}}
    assert restored.metadata == {"phase": "8 px", "resolution": 8}
    assert_bitwise_equal(restored.state, expected)
    best = load_latest(retention.best_path(run / "checkpoints"), ["w_avg"])
    assert_bitwise_equal(best.state, {"w_avg": expected.w_avg})


def test_buffers_may_be_donated_while_the_save_is_under_way(checkpoints, monkeypatch):
    state = make_state()
    expected = on_host(state)
    go_on, describe = threading.Event(), stored.describe

    def slowly(*arguments):
        assert go_on.wait(10)
        return describe(*arguments)

    monkeypatch.setattr(stored, "describe", slowly)
    step = jax.jit(lambda s: jax.tree.map(lambda x: x * 3, s), donate_argnums=0)
    checkpoints.save(1000, state)
    for _ in range(3):
        state = jax.block_until_ready(step(state))
    go_on.set()
    restored = checkpoints.restore_latest(make_state())
    assert_bitwise_equal(restored.state, expected)
    # A state that was restored, donated and saved again is the same, too.
    for _ in range(3):
        restored = restored._replace(state=step(restored.state))
    checkpoints.save(2000, restored.state)
    assert_bitwise_equal(checkpoints.restore_latest(make_state()).state, state)


def test_arrays_come_back_with_the_templates_sharding(checkpoints):
    mesh = jax.make_mesh(
        (len(jax.devices()),), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    replicated = jax.NamedSharding(mesh, jax.P())
    split = jax.NamedSharding(mesh, jax.P("data"))

    def abstract(x):
        place = split if x.shape[:1] == (8,) else replicated
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

    state = make_state(width=8)
    checkpoints.save(1000, state)
    restored = checkpoints.restore_latest(jax.tree.map(abstract, state)).state
    assert_bitwise_equal(restored, state)
    assert restored.g_params["mapping"]["dense0"]["weight"].sharding == split
    assert restored.w_avg.sharding == replicated


def test_an_intact_checkpoint_is_neither_replaced_nor_blamed(checkpoints):
    first = make_state(1)
    checkpoints.save(1000, first)
    checkpoints.save(1000, make_state(2))
    with pytest.raises(UserError, match=r"weight is float32\[8, 4\], not float32\[16,"):
        checkpoints.restore_latest(make_state(width=16))
    assert checkpoints.latest_path().name == "nimg_000001000"
    assert_bitwise_equal(checkpoints.restore_latest(first).state, first)
    checkpoints.save(2000, {"a": jnp.ones(2), "b": jnp.ones(2)})
    with pytest.raises(UserError, match="c is missing; b is not expected"):
        checkpoints.restore_latest({"a": jnp.ones(2), "c": jnp.ones(2)})


@pytest.mark.thorough
def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    program = f"""
        import os, signal
        import jax.numpy as jnp
        import orbax.checkpoint as ocp
        from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
        checkpoints = Checkpoints({str(tmp_path)!r}, CheckpointConfig())
        checkpoints.save(1000, {{"a": jnp.ones(4)}})
        checkpoints.wait()
        def die(*arguments, **keywords):
            os.kill(os.getpid(), signal.SIGKILL)
        ocp.JsonCheckpointHandler.finalize = die
        ocp.StandardCheckpointHandler.finalize = die
        checkpoints.save(2000, {{"a": jnp.zeros(4)}})
        checkpoints.wait()
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    assert result.returncode == -signal.SIGKILL
    directory = tmp_path / "checkpoints"
    assert list(directory.glob("*.orbax-checkpoint-tmp*"))
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        assert [path.name for path in directory.iterdir()] == ["nimg_000001000"]
        restored = checkpoints.restore_latest({"a": jnp.zeros(4)})
    assert restored.nimg == 1000 and (np.asarray(restored.state["a"]) == 1).all()


@pytest.mark.parametrize("place", ["during", "before"])
def test_a_full_disk_costs_one_checkpoint_and_nothing_else(
    checkpoints, caplog, monkeypatch, place
):
    state = make_state()
    checkpoints.save(1000, state)
    checkpoints.wait()

    def fail(*_):
        (checkpoints.directory / "nimg_000002000.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write [No space left]")

    with monkeypatch.context() as patched:
        if place == "during":
            patched.setattr(stored, "describe", fail)
        else:
            usage = namedtuple("usage", "free")(700)  # the state has 1.4 kB
            patched.setattr(shutil, "disk_usage", lambda _: usage)
        checkpoints.save(2000, state)
        assert checkpoints.wait().name == "nimg_000001000"
    assert "2.0 kimg was not written (no space left" in caplog.messages[-1]
    assert [path.name for path in checkpoints.directory.iterdir()] == ["nimg_000001000"]
    checkpoints.save(3000, state)
    assert checkpoints.wait().name == "nimg_000003000"


@pytest.mark.parametrize("on_error", ["continue", "stop"])
def test_a_disk_that_may_not_be_written_costs_one_checkpoint_or_ends_the_run(
    tmp_path, caplog, on_error
):
    config = CheckpointConfig(on_error=on_error)
    with Checkpoints(tmp_path, config) as checkpoints:
        folder, away = checkpoints.directory, tmp_path / "away"
        folder.rename(away)
        folder.write_text("not a folder")  # root may write anywhere
        checkpoints.save(1000, ONES)
        if on_error == "stop":
            with pytest.raises(UserError, match=r"on_error is stop"):
                checkpoints.wait()
        else:
            checkpoints.wait()
            assert "was not written" in caplog.messages[-1]
        folder.unlink()
        away.rename(folder)
        checkpoints.save(2000, ONES)
        assert checkpoints.wait().name == "nimg_000002000"


def test_other_failures_of_a_save_are_not_swallowed(checkpoints):
    checkpoints.save(1000, ONES, {"not json": object()})
    with pytest.raises(TypeError):
        checkpoints.wait()
    for state, says in (
        ({"a": 1.0}, "a is a float"),
        ({"k": jax.random.key(0)}, "typed"),
    ):
        with pytest.raises(UserError, match=says):
            checkpoints.save(1000, state)
    checkpoints.save(2000, ONES)
    assert checkpoints.wait().name == "nimg_000002000"


def test_some_fields_can_be_read_without_the_rest(tmp_path, caplog):
    old, new, step = two_checkpoints(tmp_path)
    expected = {"g_ema": new.g_ema, "w_avg": new.w_avg, "noise": new.noise}
    del expected["g_ema"]["synthesis"]["no_labels"]  # empty arrays are not stored
    for where in ("", "checkpoints", "checkpoints/nimg_000002000"):
        loaded = load_latest(tmp_path / where, list(expected))
        assert loaded.nimg == 2000
        assert_bitwise_equal(loaded.state, expected)
    with pytest.raises(UserError, match=r"holds no g_best; it holds g_ema, g_opt"):
        load_latest(tmp_path, ["g_best"])
    with pytest.raises(UserError, match="no checkpoint in"):
        load_latest(tmp_path / "nowhere", ["g_ema"])
    assert caplog.messages == []
    flip_array_bit(step)
    truncate(step)
    loaded = load_latest(tmp_path, ["w_avg"])
    assert loaded.nimg == 1000 and step.is_dir()  # nothing is changed
    assert_bitwise_equal(loaded.state, {"w_avg": old.w_avg})
    assert "nimg_000002000" in caplog.messages[-1]


# --- When, and which ---------------------------------------------------------------


def kept(directory):
    return sorted(int(path.name[5:]) for path in directory.glob("nimg_*"))


def test_the_newest_and_the_milestones_are_kept(tmp_path):
    config = CheckpointConfig(keep_last=2, keep_every_kimg=1.0)
    with Checkpoints(tmp_path, config) as checkpoints:
        for nimg in range(300, 3001, 300):
            checkpoints.save(nimg, ONES)
    # The first at or after 1000 and 2000 and 3000, and the last two.
    assert kept(checkpoints.directory) == [1200, 2100, 2700, 3000]


def test_due_follows_the_cadence_also_after_a_restore(tmp_path):
    config = CheckpointConfig(every_kimg=1.0)
    with Checkpoints(tmp_path, config) as checkpoints:
        assert not checkpoints.due(999) and checkpoints.due(1000)
        checkpoints.save(1048, ONES)
        assert not checkpoints.due(1999) and checkpoints.due(2000)
    with Checkpoints(tmp_path, config) as checkpoints:
        checkpoints.restore_latest(ONES)
        assert not checkpoints.due(1096) and checkpoints.due(2008)
    for wrong in ("every_kimg", "keep_last", "keep_every_kimg"):
        with pytest.raises(UserError, match=wrong):
            CheckpointConfig(**{wrong: 0})


def save_scored(tmp_path, scores, larger_is_better=False, config=LAST):
    """Saves checkpoints 100, 200, ... with (resolution, score)."""
    with Checkpoints(tmp_path, config) as checkpoints:
        for i, (resolution, score) in enumerate(scores):
            nimg, best = 100 * (i + 1), Criterion("m", larger_is_better)
            checkpoints.save(nimg, ONES)
            checkpoints.record_scores(nimg, "m", {"m": score}, resolution, best)
    return checkpoints.directory


@pytest.mark.parametrize(
    ("larger", "scores", "best"),
    [
        (False, [(8, 3), (8, 1), (8, 2), (8, 5)], 200),
        (True, [(8, 7), (8, 1), (8, 2), (8, 5)], 100),
        (False, [(8, 2), (8, 1), (8, 1), (8, 5)], 300),  # of equals the newest
        (False, [(8, 3), (8, math.nan), (8, 4), (8, -math.inf)], 100),
        # Scores at a lower resolution do not compare.
        (False, [(8, 1), (16, 9), (16, 8), (16, 8.5)], 300),
    ],
)
def test_the_best_score_is_kept_besides_the_newest(tmp_path, larger, scores, best):
    directory = save_scored(tmp_path, scores, larger)
    assert retention.read_best(directory).nimg == best
    assert {best, 400} <= set(kept(directory))
    with Checkpoints(tmp_path, LAST) as checkpoints:
        checkpoints.save(500, ONES)  # removes what was neither; is not scored itself
        assert retention.read_scores(checkpoints.wait()) == {}
    assert kept(directory) == [best, 500]


def test_milestones_stay_besides_the_best(tmp_path):
    config = CheckpointConfig(keep_last=1, keep_every_kimg=0.2)
    directory = save_scored(tmp_path, [(8, x) for x in (1, 2, 3, 4, 5)], config=config)
    assert kept(directory) == [100, 200, 400, 500]


def test_another_score_may_choose_from_then_on(tmp_path):
    directory = save_scored(tmp_path, [(8, 1), (8, 2)])
    other = Criterion("n", True)
    with Checkpoints(tmp_path, LAST) as checkpoints:
        checkpoints.record_scores(300, "n", {"n": 9.0}, 8, other)  # was not written
        checkpoints.save(300, ONES)
        checkpoints.record_scores(300, "m", {"m": 5.0}, 8, other)
        assert retention.read_best(directory).nimg == 100  # nothing has an n yet
        checkpoints.record_scores(300, "n", {"n": 5.0}, 8, other)
        both = {"m": {"m": 5.0}, "n": {"n": 5.0}}
        assert retention.read_scores(checkpoints.wait()) == both
    best = ("nimg_000000300", 300, 8, "n", 5.0, True)
    assert retention.read_best(directory) == best


def test_a_damaged_best_checkpoint_gives_way_to_the_next(tmp_path):
    config = CheckpointConfig(keep_last=9)
    directory = save_scored(tmp_path, [(8, 2), (8, 3), (8, 1)], config=config)
    (directory / "nimg_000000300" / "meta" / "metadata").write_text("{}")
    with Checkpoints(tmp_path, config) as checkpoints:
        assert checkpoints.restore_latest(ONES).nimg == 200
    assert retention.read_best(directory).nimg == 100
    assert retention.best_path(directory).name == "nimg_000000100"


def test_a_run_without_a_best_checkpoint_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="nothing was scored in training"):
        loading.load(tmp_path / "checkpoints" / "best")
    with pytest.raises(UserError, match="does not exist"):
        loading.load(tmp_path / "best")
