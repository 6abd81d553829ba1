"""A run's configuration, as it is stored, compared and recorded."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.runs import run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    total_kimg: float = 400
    batch_size: ByResolution[int] = ByResolution(32, ((4, 512),))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    schedule: Schedule = Schedule()
    path: Path = Path("data")
    names: tuple[str, ...] = ("fid",)
    seed: int = 0
    limit: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrownConfig(Config):
    added_later: int = 7


def test_a_start_stores_the_configuration_and_is_recorded(tmp_path):
    run_directory.start_run(tmp_path, Config())
    stored = json.loads((tmp_path / "config.json").read_text())
    assert list(stored) == ["schedule", "path", "names", "seed", "limit"]
    assert stored["schedule"] == {"total_kimg": 400, "batch_size": "32,4:512"}
    assert stored["path"] == "data" and stored["limit"] is None
    other = Config(schedule=Schedule(batch_size=ByResolution(16)), seed=3)
    run_directory.start_run(tmp_path, other, devices=["cpu:0"], nimg=5)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 3
    first, start = json.loads((tmp_path / "provenance.json").read_text())
    assert first["changes"] == []
    changed = ["schedule.batch_size: 32,4:512 -> 16", "seed: 0 -> 3"]
    assert start["changes"] == changed
    assert start["devices"] == ["cpu:0"] and start["nimg"] == 5
    assert start["packages"]["jax"] and start["python"]
    assert start["command"][1:] == sys.argv


def test_fields_of_other_versions_of_the_code(tmp_path):
    """One added since may only have its default; one removed is a difference."""
    run_directory.start_run(tmp_path / "old", Config())
    found = run_directory.changes(tmp_path / "old", GrownConfig(added_later=8))
    assert found == {"added_later": "added_later: 7 -> 8"}
    assert not run_directory.changes(tmp_path / "old", GrownConfig())
    run_directory.start_run(tmp_path / "new", GrownConfig())
    found = run_directory.changes(tmp_path / "new", Config())
    assert found == {"added_later": "added_later: 7 -> (no longer exists)"}


def test_unsuitable_run_directories_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name, text in (("broken", "{"), ("theirs", '{"theirs": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    for name, says in (
        ("file", "is a file"),
        ("run", "no config"),
        ("broken", r"config\.json is damaged"),
        ("theirs", "not that of a run"),
    ):
        with pytest.raises(UserError, match=says):
            run_directory.start_run(tmp_path / name, Config())


def test_json_form_is_strict_json_even_for_infinities():
    text = json.dumps(records.to_json({"a": math.inf, "b": (1, 2)}), allow_nan=False)
    assert json.loads(text) == {"a": "inf", "b": [1, 2]}
    with pytest.raises(TypeError, match="cannot be written"):
        records.to_json(object())


def test_git_version_is_the_packages_own_checkout_or_nothing(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(
            ["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True
        )

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git("init")
    assert run_directory._git_version(package) == (None, None)  # there, but not tracked
    git("add", ".")
    git("commit", "-m", "first")
    sha, dirty = run_directory._git_version(package)
    assert len(sha) == 40 and dirty is False
    (package / "__init__.py").write_text("changed = True\n")
    assert run_directory._git_version(package) == (sha, True)


def test_formatted_configuration_has_one_line_per_field():
    lines = run_directory.format_config(Config()).splitlines()
    assert len(lines) == 6
    assert "schedule.batch_size" in lines[1] and lines[1].endswith("= 32,4:512")
