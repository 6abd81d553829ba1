"""Checkpoints: bitwise, atomic, and honest about damage."""

import logging
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.runs import retention, stored
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints, load_latest
from tests.runs.small_state import (
    assert_bitwise_equal,
    flip_array_bit,
    make_state,
    on_host,
    template_of,
    truncate,
    two_checkpoints,
)

ROOT = Path(stored.__file__).resolve().parents[2]


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(tmp_path, CheckpointConfig(keep_last=4)) as opened:
        yield opened


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_restored_state_is_bitwise_the_saved_one(tmp_path, asynchronous):
    state = make_state()
    config = CheckpointConfig(asynchronous=asynchronous)
    with Checkpoints(tmp_path, config) as checkpoints:
        checkpoints.save(1000, state, {"phase": "8 px", "rate": 0.1})
    with Checkpoints(tmp_path, config) as checkpoints:
        restored = checkpoints.restore_latest(template_of(state))
    assert restored.nimg == 1000
    assert restored.metadata == {"phase": "8 px", "rate": 0.1}
    assert_bitwise_equal(restored.state, state)


def test_a_checkpoint_of_an_earlier_version_is_restored(tmp_path):
    """Written by the last version with Orbax's manager, scores and the best beside."""
    expected = make_state(2)
    run = shutil.copytree(ROOT / "tests" / "data" / "run", tmp_path / "run")
    with Checkpoints(run, CheckpointConfig()) as checkpoints:
        restored = checkpoints.restore_latest(template_of(expected))
    assert restored.nimg == 2000 and restored.scores == {"m": {"m": 1.0}}
    assert restored.metadata == {"phase": "8 px", "resolution": 8}
    assert_bitwise_equal(restored.state, expected)
    best = load_latest(retention.best_path(run / "checkpoints"), ["w_avg"])
    assert_bitwise_equal(best.state, {"w_avg": expected.w_avg})


def test_there_is_nothing_to_restore_in_a_new_run(checkpoints):
    assert checkpoints.restore_latest(template_of(make_state())) is None
    assert checkpoints.latest_path() is None


def test_buffers_may_be_donated_while_the_save_is_under_way(checkpoints, monkeypatch):
    state = make_state()
    expected = on_host(state)
    go_on, describe = threading.Event(), stored.describe

    def slowly(*arguments):
        assert go_on.wait(10)
        return describe(*arguments)

    monkeypatch.setattr(stored, "describe", slowly)
    step = jax.jit(
        lambda s: jax.tree.map(lambda x: x + jnp.ones_like(x), s), donate_argnums=0
    )
    checkpoints.save(1000, state)
    for _ in range(3):
        state = jax.block_until_ready(step(state))
    go_on.set()
    restored = checkpoints.restore_latest(template_of(state))
    assert_bitwise_equal(restored.state, expected)


def test_saving_a_restored_and_donated_state_again_is_bitwise(tmp_path):
    step = jax.jit(lambda s: jax.tree.map(lambda x: x * 3, s), donate_argnums=0)
    state = make_state()
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        checkpoints.save(1000, state)
        straight = on_host(step(state))
        restored = checkpoints.restore_latest(template_of(make_state()))
        continued = step(restored.state)
        checkpoints.save(2000, continued)
        again = checkpoints.restore_latest(template_of(make_state()))
    assert_bitwise_equal(continued, straight)
    assert_bitwise_equal(again.state, straight)


def test_arrays_come_back_with_the_templates_sharding(checkpoints):
    mesh = jax.make_mesh(
        (len(jax.devices()),), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    replicated = jax.NamedSharding(mesh, jax.P())
    split = jax.NamedSharding(mesh, jax.P("data"))

    def place(x):
        return split if x.shape[:1] == (8,) else replicated

    state = make_state(width=8)
    checkpoints.save(1000, state)
    template = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x)), state
    )
    restored = checkpoints.restore_latest(template).state
    assert_bitwise_equal(restored, state)
    assert restored.g_params["mapping"]["dense0"]["weight"].sharding == split
    assert restored.w_avg.sharding == replicated


def test_saving_an_existing_checkpoint_changes_nothing(checkpoints):
    first = make_state(1)
    checkpoints.save(1000, first)
    checkpoints.save(1000, make_state(2))
    restored = checkpoints.restore_latest(template_of(first))
    assert_bitwise_equal(restored.state, first)


def test_an_intact_checkpoint_of_another_model_is_an_error_not_damage(checkpoints):
    checkpoints.save(1000, make_state(width=8))
    with pytest.raises(UserError) as caught:
        checkpoints.restore_latest(template_of(make_state(width=16)))
    message = str(caught.value)
    assert "g_params/mapping/dense0/weight is float32[8, 4], not float32[16, 4]" in (
        message
    )
    assert checkpoints.latest_path().name == "nimg_000001000"


def test_missing_and_surplus_leaves_are_named(checkpoints):
    checkpoints.save(1000, {"a": jnp.ones(2), "b": jnp.ones(2)})
    with pytest.raises(UserError, match="c is missing; b is not expected"):
        checkpoints.restore_latest({"a": jnp.ones(2), "c": jnp.ones(2)})


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    program = f"""
        import os, signal, sys
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


def test_a_full_disk_costs_one_checkpoint_and_nothing_else(
    checkpoints, caplog, monkeypatch
):
    state = make_state()
    checkpoints.save(1000, state)
    checkpoints.wait()
    describe = stored.describe

    def fail(*arguments):
        (checkpoints.directory / "nimg_000002000.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write [No space left]")

    monkeypatch.setattr(stored, "describe", fail)
    checkpoints.save(2000, state)
    assert checkpoints.wait().name == "nimg_000001000"
    assert "not written" in caplog.messages[-1] and "2.0 kimg" in caplog.messages[-1]
    names = [path.name for path in checkpoints.directory.iterdir()]
    assert names == ["nimg_000001000"]
    monkeypatch.setattr(stored, "describe", describe)
    checkpoints.save(3000, state)
    assert checkpoints.wait().name == "nimg_000003000"


def test_a_disk_that_may_not_be_written_costs_one_checkpoint_or_ends_the_run(
    tmp_path, caplog
):
    state = make_state()
    for on_error in ("continue", "stop"):
        config = CheckpointConfig(on_error=on_error)
        with Checkpoints(tmp_path, config) as checkpoints:
            folder, away = checkpoints.directory, tmp_path / "away"
            folder.rename(away)
            folder.write_text("not a folder")  # root may write anywhere
            checkpoints.save(1000, state)
            if on_error == "stop":
                with pytest.raises(UserError, match=r"on_error is stop"):
                    checkpoints.wait()
            else:
                checkpoints.wait()
                assert "was not written" in caplog.messages[-1]
            folder.unlink()
            away.rename(folder)
            checkpoints.save(2000, state)
            assert checkpoints.wait().name == "nimg_000002000"


def test_other_failures_of_a_save_are_not_swallowed(checkpoints):
    checkpoints.save(1000, make_state(), {"not json": object()})
    with pytest.raises(TypeError):
        checkpoints.wait()
    checkpoints.save(2000, make_state())
    assert checkpoints.wait().name == "nimg_000002000"


@pytest.mark.parametrize("where", ["", "checkpoints", "checkpoints/nimg_000002000"])
def test_some_fields_can_be_read_without_the_rest(tmp_path, where):
    _, new, _ = two_checkpoints(tmp_path)
    loaded = load_latest(tmp_path / where, ["g_ema", "w_avg", "noise"])
    assert loaded.nimg == 2000
    assert set(loaded.state) == {"g_ema", "w_avg", "noise"}
    expected = {"g_ema": new.g_ema, "w_avg": new.w_avg, "noise": new.noise}
    del expected["g_ema"]["synthesis"]["no_labels"]  # empty arrays are not stored
    assert_bitwise_equal(loaded.state, expected)


def test_a_partial_read_falls_back_too_and_changes_nothing(tmp_path, caplog):
    old, _, step = two_checkpoints(tmp_path)
    flip_array_bit(step)
    truncate(step)
    loaded = load_latest(tmp_path, ["w_avg"])
    assert loaded.nimg == 1000
    assert_bitwise_equal(loaded.state, {"w_avg": old.w_avg})
    assert "nimg_000002000" in caplog.messages[-1] and step.is_dir()


def test_a_field_that_is_not_there_is_named_with_those_that_are(tmp_path):
    two_checkpoints(tmp_path)
    with pytest.raises(UserError, match=r"holds no g_best; it holds g_ema, g_opt"):
        load_latest(tmp_path, ["g_best"])


def test_a_directory_without_checkpoints_is_told(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        load_latest(tmp_path, ["g_ema"])


def test_states_with_anything_but_plain_arrays_are_refused(checkpoints):
    with pytest.raises(ValueError, match="a is a float"):
        checkpoints.save(1000, {"a": 1.0})
    with pytest.raises(ValueError, match="typed key"):
        checkpoints.save(1000, {"key": jax.random.key(0)})


def test_restoring_warns_through_logging_only(tmp_path, caplog):
    old, _, _ = two_checkpoints(tmp_path)
    with caplog.at_level(logging.WARNING):
        with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
            checkpoints.restore_latest(template_of(old))
        load_latest(tmp_path, ["w_avg"])
    assert caplog.messages == []  # a healthy checkpoint makes no noise
