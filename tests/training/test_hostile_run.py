"""Run directories of strangers: configurations and checkpoints that claim too much."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest

from stylegan_jax.common.errors import UserError
from stylegan_jax.training import stored, stored_config
from stylegan_jax.training.config import Config

LEAVES = {"g_ema/a": np.ones((4, 2), np.float32), "w_avg": np.zeros(3, np.float32)}


def save(path: Path, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> Path:
    """A checkpoint whose record need not be true; its own checksum is right."""
    rest = {key: value for key, value in record.items() if key != "crc32"}
    record = rest | {"crc32": stored._record_crc(rest)}
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as writer:
        writer.save(path / "meta", record)
    with ocp.PyTreeCheckpointer() as writer:
        writer.save(path / "state", stored.nested(arrays))
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
    sections = {name: {} for name in stored_config._SECTIONS}
    (tmp_path / "config.json").write_text(json.dumps(sections))
    assert stored_config.model_config(tmp_path) == Config().model
    sections["model"] = model
    (tmp_path / "config.json").write_text(json.dumps(sections))
    with pytest.raises(UserError, match=message):
        stored_config.model_config(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{", '{"model": 3}', "\xff"])
def test_a_file_that_is_no_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=r"is damaged .*copy its config\.json"):
        stored_config.model_config(tmp_path)
