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
from stylegan_jax.runs import provenance


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


def test_a_new_run_stores_its_configuration_in_field_order(tmp_path):
    provenance.start_run(tmp_path, Config())
    stored = json.loads((tmp_path / "config.json").read_text())
    assert list(stored) == ["schedule", "path", "names", "seed", "limit"]
    assert stored["schedule"] == {"total_kimg": 400, "batch_size": "32,4:512"}
    assert stored["path"] == "data" and stored["limit"] is None


def test_every_start_is_recorded_with_its_machine_and_versions(tmp_path):
    for _ in range(2):
        provenance.start_run(tmp_path, Config(), devices=["cpu:0"])
    starts = json.loads((tmp_path / "provenance.json").read_text())
    assert len(starts) == 2
    assert starts[1]["devices"] == ["cpu:0"]
    assert starts[1]["packages"]["jax"] and starts[1]["python"]
    assert starts[1]["command"][1:] == sys.argv


def test_a_field_added_to_the_code_since_may_only_have_its_default(tmp_path):
    provenance.start_run(tmp_path, Config())
    found = provenance.changes(tmp_path, GrownConfig(added_later=8))
    assert found == {"added_later": "added_later: 7 -> 8"}
    assert not provenance.changes(tmp_path, GrownConfig())


def test_a_field_removed_from_the_code_is_a_difference(tmp_path):
    provenance.start_run(tmp_path, GrownConfig())
    found = provenance.changes(tmp_path, Config())
    assert found["added_later"].startswith("added_later: 7 -> ")


def test_unsuitable_run_directories_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        provenance.start_run(tmp_path / "file", Config())
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="no config"):
        provenance.start_run(tmp_path / "run", Config())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        provenance.start_run(tmp_path / "broken", Config())


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
    assert provenance._git_version(package) == (None, None)  # there, but not tracked
    git("add", ".")
    git("commit", "-m", "first")
    sha, dirty = provenance._git_version(package)
    assert len(sha) == 40 and dirty is False
    (package / "__init__.py").write_text("changed = True\n")
    assert provenance._git_version(package) == (sha, True)


def test_formatted_configuration_has_one_line_per_field():
    lines = provenance.format_config(Config()).splitlines()
    assert len(lines) == 6
    assert "schedule.batch_size" in lines[1] and lines[1].endswith("= 32,4:512")


def test_what_differs_is_named_stored_anew_and_recorded(tmp_path):
    provenance.start_run(tmp_path, Config())
    other = Config(schedule=Schedule(batch_size=ByResolution(16)), seed=3)
    changed = provenance.changes(tmp_path, other)
    assert list(changed.values()) == [
        "schedule.batch_size: 32,4:512 -> 16",
        "seed: 0 -> 3",
    ]
    provenance.start_run(tmp_path, other)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 3
    starts = json.loads((tmp_path / "provenance.json").read_text())
    assert starts[1]["changes"] == [*changed.values()]
