"""Run directories of strangers: configurations and checkpoints that claim too much."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.traverse_util import unflatten_dict

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import stored_model_config
from stylegan_jax.runs import run_directory, stored
from stylegan_jax.training.config import Config

LEAVES = {"g_ema/a": np.ones((4, 2), np.float32), "w_avg": np.zeros(3, np.float32)}


def save(path: Path, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> Path:
    """A checkpoint whose record need not be true; its own checksum is right."""
    rest = {key: value for key, value in record.items() if key != "crc32"}
    record = rest | {"crc32": stored._record_crc(rest)}
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as writer:
        writer.save(path / "meta", record)
    with ocp.PyTreeCheckpointer() as writer:
        writer.save(path / "state", unflatten_dict(arrays, sep="/"))
    return path


def test_a_true_record_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a", LEAVES, stored.describe(7, LEAVES, {"x": 1}))
    step = stored.read_step(7, path)
    assert step.leaves.keys() == LEAVES.keys()
    np.testing.assert_array_equal(step.leaves["g_ema/a"], LEAVES["g_ema/a"])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("w_avg", [1 << 31, 1 << 10], r"claims \d+ bytes"),
        ("w_avg", [1 << 40], "of shape"),
        ("w_avg", [-1], "of shape"),
        ("w_avg", [4], r"is of shape \(3,\) on disk, not \(4,\)"),
        ("../../w_avg", [3], "an array '../../w_avg'"),
        ("/etc/passwd", [3], "an array '/etc/passwd'"),
        ("not_there", [3], "not_there is of shape None on disk"),
    ],
)
def test_what_a_record_claims_is_checked_before_it_is_read(
    name: str, shape: list[int], message: str, tmp_path: Path
) -> None:
    record = stored.describe(7, LEAVES, {})
    record["leaves"][name] = ["float32", shape, 0]
    with pytest.raises(stored.UnreadableCheckpoint, match=message):
        stored.read_step(7, save(tmp_path / "a", LEAVES, record))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"z_dim": 1 << 40}, "not 0 to 65536"),
        ({"z_dim": "8"}, "an odd z_dim"),
        ({"mapping_layers": 60_000}, "mapping_layers 60000, over 64"),
        ({"resolution": 12}, "power of two"),
        ({"channel_decay": float("inf")}, "the number Infinity"),
        ({"__class__": "x"}, "which this version does not know"),
    ],
)
def test_absurd_networks_are_refused(
    model: dict[str, Any], message: str, tmp_path: Path
) -> None:
    sections = {name: {} for name in run_directory._SECTIONS}
    (tmp_path / "config.json").write_text(json.dumps(sections))
    assert run_directory.model_config(tmp_path) == Config().model
    sections["model"] = model
    (tmp_path / "config.json").write_text(json.dumps(sections))
    with pytest.raises(UserError, match=message):
        run_directory.model_config(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{", '{"model": 3}', "\xff"])
def test_a_file_that_is_no_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=r"is damaged .*copy its config\.json"):
        run_directory.model_config(tmp_path)


def link(path: Path, target: str | Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def large(path: Path) -> None:
    """Eight gigabytes that take no room on disk."""
    with path.open("r+b") as file:
        file.truncate(8 << 30)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: link(path / "extra", "/dev/zero"), "extra is a link to another"),
        (lambda path: link(path / "state/d", "/etc"), "state/d is a link to another"),
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
    harm: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "a", LEAVES, stored.describe(7, LEAVES, {}))
    if (path / "state" / "d").is_dir() and message.startswith("state/d"):
        shutil.rmtree(path / "state" / "d")
    harm(path)
    with pytest.raises(stored.UnreadableCheckpoint, match=message):
        stored.read_step(7, path)


def test_arrays_that_swell_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """Chunks that are not there read as zeros, of any size."""
    zeros = {"g_ema/a": np.zeros((1 << 26,), np.float32)}
    path = save(tmp_path / "a", zeros, stored.describe(7, zeros, {}))
    with pytest.raises(stored.UnreadableCheckpoint, match="claims 268435456 bytes"):
        stored.read_step(7, path)


@pytest.mark.parametrize("dtype", ["O", "object", 3, None, "f4,O"])
def test_arrays_of_objects_are_refused(dtype: Any, tmp_path: Path) -> None:
    record = stored.describe(7, LEAVES, {})
    record["leaves"]["w_avg"][0] = dtype
    with pytest.raises(stored.UnreadableCheckpoint):
        stored.read_step(7, save(tmp_path / "a", LEAVES, record))


@pytest.mark.parametrize("name", ["mapping_layers", "mlp_layers"])
def test_networks_of_many_layers_are_refused_at_once(name: str) -> None:
    """Each layer takes a tenth of a second to describe: 65,536 took over a minute."""
    with pytest.raises(ValueError, match=f"{name} 65, over 64"):
        stored_model_config({name: 65})
