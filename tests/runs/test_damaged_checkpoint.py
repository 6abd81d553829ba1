"""Damaged and hostile checkpoints: noticed, set aside, never restored or believed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.traverse_util import unflatten_dict

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import stored_model_config
from stylegan_jax.runs import run_directory, stored
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.training.config import Config
from tests.runs.small_state import (
    assert_bitwise_equal,
    data_files,
    empty,
    flip_array_bit,
    make_state,
    truncate,
    two_checkpoints,
)

LEAVES = {"g_ema/a": np.ones((4, 2), np.float32), "w_avg": np.zeros(3, np.float32)}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run of two checkpoints, 1000 of `make_state(1)` and 2000 of `make_state(2)`."""
    run = tmp_path_factory.mktemp("good")
    two_checkpoints(run)
    return run


@pytest.mark.parametrize("bits", [2, pytest.param(10, marks=pytest.mark.thorough)])
def test_a_flipped_bit_in_any_file_is_noticed(good, bits):
    step = good / "checkpoints" / "nimg_000002000"
    names = data_files(step)
    assert len(names) >= 6
    for i in range(bits * len(names)):  # anywhere in it
        path = step / names[i % len(names)]
        intact = path.read_bytes()
        bad = bytearray(intact)
        bad[(i * 7919) % len(bad)] ^= 1 << i % 8
        path.write_bytes(bad)
        with pytest.raises(stored.UnreadableCheckpoint):
            stored.read_step(2000, step)
        path.write_bytes(intact)
    stored.read_step(2000, step)


@pytest.mark.thorough
# Orbax leaves coroutines behind when a read fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_seal_a_flipped_bit_never_restores_wrong_numbers(
    good, tmp_path, caplog
):
    states = {1000: make_state(1), 2000: make_state(2)}
    step = Path("checkpoints") / "nimg_000002000"
    fallbacks = 0
    for i, name in enumerate(data_files(good / step)):
        run = Path(shutil.copytree(good, tmp_path / str(i)))
        (run / step / "checksums.json").unlink()
        if name.name == "checksums.json":
            continue
        content = bytearray((run / step / name).read_bytes())
        for position in {len(content) // 3, len(content) // 2}:
            content[position] ^= 0x10
        (run / step / name).write_bytes(content)
        with Checkpoints(run, CheckpointConfig()) as checkpoints:
            restored = checkpoints.restore_latest(states[1000])
        assert_bitwise_equal(restored.state, states[restored.nimg])
        if restored.nimg == 1000:
            fallbacks += 1
            assert "nimg_000002000" in caplog.messages[-1]
    assert fallbacks >= 3  # arrays, their index, and our record at the least


DAMAGE = {
    "flipped": flip_array_bit,
    "truncated": truncate,
    "empty": empty,
    "no record": lambda step: shutil.rmtree(step / "meta"),
    "no state": lambda step: shutil.rmtree(step / "state"),
    "no manifest": lambda step: (step / "state" / "manifest.ocdbt").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_newest_checkpoint_is_told_set_aside_and_replaced(
    good, tmp_path, damage, caplog
):
    run = Path(shutil.copytree(good, tmp_path / "run"))
    old, new = make_state(1), make_state(2)
    damage(run / "checkpoints" / "nimg_000002000")
    with Checkpoints(run, CheckpointConfig()) as checkpoints:
        restored = checkpoints.restore_latest(old)
        assert restored.nimg == 1000
        assert_bitwise_equal(restored.state, old)
        assert "skipping checkpoint nimg_000002000: " in caplog.messages[-1]
        checkpoints.save(2000, new)  # the same count is reached again
        again = checkpoints.restore_latest(new)
        assert again.nimg == 2000
        assert_bitwise_equal(again.state, new)
        # All damaged: it does not silently start afresh.
        for nimg in (1000, 2000):
            empty(checkpoints.directory / stored.step_name(nimg))
        with pytest.raises(UserError, match="none of the 2 checkpoints"):
            checkpoints.restore_latest(old)


# --- Records and files of strangers ------------------------------------------------


def save(path, arrays, record):
    """A checkpoint whose record need not be true; its own checksum is right."""
    rest = {key: value for key, value in record.items() if key != "crc32"}
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as writer:
        writer.save(path / "meta", rest | {"crc32": stored._record_crc(rest)})
    with ocp.PyTreeCheckpointer() as writer:
        writer.save(path / "state", unflatten_dict(arrays, sep="/"))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "shape", "message"),
    [
        ("w_avg", "float32", [3], None),
        ("w_avg", "float32", [1 << 31, 1 << 10], r"claims \d+ bytes"),
        ("w_avg", "float32", [1 << 40], "of shape"),
        ("w_avg", "float32", [-1], "of shape"),
        ("w_avg", "float32", [4], r"is of shape \(3,\) on disk, not \(4,\)"),
        ("../../w_avg", "float32", [3], "an array '../../w_avg'"),
        ("/etc/passwd", "float32", [3], "an array '/etc/passwd'"),
        ("not_there", "float32", [3], "not_there is of shape None on disk"),
        ("w_avg", "O", [3], "an array w_avg of object"),
        ("w_avg", 3, [3], "."),
        ("w_avg", None, [3], "."),
        ("w_avg", "f4,O", [3], "an array w_avg of"),
    ],
)
def test_what_a_record_claims_is_checked_before_it_is_read(
    name, kind, shape, message, tmp_path
):
    record = stored.describe(7, LEAVES, {"x": 1})
    crc = record["leaves"].get(name, [0, 0, 0])[2]
    record["leaves"][name] = [kind, shape, crc]
    path = save(tmp_path / "a", LEAVES, record)
    if message is None:  # it is true
        step = stored.read_step(7, path)
        assert step.leaves.keys() == LEAVES.keys() and step.metadata == {"x": 1}
        np.testing.assert_array_equal(step.leaves["g_ema/a"], LEAVES["g_ema/a"])
        return
    with pytest.raises(stored.UnreadableCheckpoint, match=message):
        stored.read_step(7, path)


@pytest.mark.thorough
def test_arrays_that_swell_are_refused_before_they_are_read(tmp_path):
    """Chunks that are not there read as zeros, of any size."""
    zeros = {"g_ema/a": np.zeros((1 << 26,), np.float32)}
    path = save(tmp_path / "a", zeros, stored.describe(7, zeros, {}))
    with pytest.raises(stored.UnreadableCheckpoint, match="claims 268435456 bytes"):
        stored.read_step(7, path)


def link(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def large(path):
    """Eight gigabytes that take no room on disk."""
    with path.open("r+b") as file:
        file.truncate(8 << 30)


def link_of_arrays(path):
    shutil.rmtree(path / "state" / "d", ignore_errors=True)
    link(path / "state" / "d", "/etc")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: link(path / "extra", "/dev/zero"), "extra is a link to another"),
        (link_of_arrays, "state/d is a link to another"),
        (lambda path: link(path / "loop", path), "loop is a folder"),
        (lambda path: link(path / "meta/metadata", "/etc/passwd"), "a link to another"),
        (lambda path: fifo(path / "meta/metadata"), "a device, pipe or socket"),
        (lambda path: fifo(path / "state/_METADATA"), "a device, pipe or socket"),
        (lambda path: large(path / "meta/metadata"), "metadata has 8589934592 bytes"),
        (lambda path: large(next(path.glob("state/**/d/*"))), "bytes, its arrays 44"),
    ],
    ids=["device", "folder", "loop", "secret", "fifo", "index", "large", "array"],
)
def test_only_files_of_the_checkpoint_are_opened_and_no_more_than_its_arrays(
    harm, message, tmp_path
):
    path = save(tmp_path / "a", LEAVES, stored.describe(7, LEAVES, {}))
    harm(path)
    with pytest.raises(stored.UnreadableCheckpoint, match=message):
        stored.read_step(7, path)


# --- Configurations of strangers ---------------------------------------------------


def test_absurd_configurations_are_refused_at_once(tmp_path):
    path = tmp_path / "config.json"
    sections = {name: {} for name in run_directory._SECTIONS}
    path.write_text(json.dumps(sections))
    assert run_directory.model_config(tmp_path) == Config().model
    for model, says in (
        ({"z_dim": 1 << 40}, "not 0 to 65536"),
        ({"z_dim": "8"}, "an odd z_dim"),
        ({"mapping_layers": 60_000}, "mapping_layers 60000, over 64"),
        ({"resolution": 12}, "power of two"),
        ({"channel_decay": float("inf")}, "the number Infinity"),
        ({"__class__": "x"}, "which this version does not know"),
    ):
        path.write_text(json.dumps(sections | {"model": model}))
        with pytest.raises(UserError, match=says):
            run_directory.model_config(tmp_path)
    for text in ("[" * 100_000, "[]", "{", '{"model": 3}', "\xff"):
        path.write_text(text, encoding="latin1")
        with pytest.raises(UserError, match=r"is damaged .*copy its config\.json"):
            run_directory.model_config(tmp_path)
    # Each layer takes a tenth of a second to describe: 65,536 took over a minute.
    for name in ("mapping_layers", "mlp_layers"):
        with pytest.raises(UserError, match=f"{name} 65, over 64"):
            stored_model_config({name: 65})
