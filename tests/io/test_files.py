"""Atomic writes, run directories, provenance."""

import dataclasses
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.errors import UserError
from stylegan_jax.io import files


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


def test_atomic_write_replaces_content_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "new" / "file.txt"
    files.atomic_write(path, "old")
    files.atomic_write(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_atomic_write_keeps_the_old_content_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.atomic_write(path, b"old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        files.atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_atomic_write_gives_the_usual_permissions(tmp_path):
    files.atomic_write(tmp_path / "atomic", b"")
    (tmp_path / "plain").write_bytes(b"")
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("atomic", "plain")]
    assert modes[0] == modes[1]


def test_a_new_run_stores_its_configuration_in_field_order(tmp_path):
    files.start_run(tmp_path, Config())
    stored = json.loads((tmp_path / "config.json").read_text())
    assert list(stored) == ["schedule", "path", "names", "seed", "limit"]
    assert stored["schedule"] == {"total_kimg": 400, "batch_size": "32,4:512"}
    assert stored["path"] == "data" and stored["limit"] is None


def test_every_start_is_recorded_with_its_machine_and_versions(tmp_path):
    for _ in range(2):
        files.start_run(tmp_path, Config(), devices=["cpu:0"])
    starts = json.loads((tmp_path / "provenance.json").read_text())
    assert len(starts) == 2
    assert starts[1]["devices"] == ["cpu:0"]
    assert starts[1]["packages"]["jax"] and starts[1]["python"]
    assert starts[1]["command"][1:] == sys.argv


def test_continuing_with_another_configuration_names_every_field_that_differs(
    tmp_path,
):
    files.start_run(tmp_path, Config())
    other = Config(schedule=Schedule(batch_size=ByResolution(16)), seed=3)
    with pytest.raises(UserError) as caught:
        files.start_run(tmp_path, other)
    message = str(caught.value)
    assert "schedule.batch_size: 32,4:512 -> 16" in message
    assert "seed: 0 -> 3" in message
    assert "path" not in message and "total_kimg" not in message
    assert "--workdir" in message
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 0


def test_fields_that_may_change_are_stored_anew_and_recorded(tmp_path):
    files.start_run(tmp_path, Config())
    longer = Config(schedule=Schedule(total_kimg=800))
    files.start_run(tmp_path, longer, may_change=["schedule.total*"])
    stored = json.loads((tmp_path / "config.json").read_text())
    starts = json.loads((tmp_path / "provenance.json").read_text())
    assert stored["schedule"]["total_kimg"] == 800
    assert starts[1]["changes"] == ["schedule.total_kimg: 400 -> 800"]


def test_a_field_added_to_the_code_since_may_only_have_its_default(tmp_path):
    files.start_run(tmp_path, Config())
    with pytest.raises(UserError, match="added_later: 7 -> 8"):
        files.start_run(tmp_path, GrownConfig(added_later=8))
    files.start_run(tmp_path, GrownConfig())


def test_a_field_removed_from_the_code_is_a_difference(tmp_path):
    files.start_run(tmp_path, GrownConfig())
    with pytest.raises(UserError, match="added_later: 7 -> "):
        files.start_run(tmp_path, Config())


def test_unsuitable_run_directories_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        files.start_run(tmp_path / "file", Config())
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="no config"):
        files.start_run(tmp_path / "run", Config())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        files.start_run(tmp_path / "broken", Config())


def test_other_processes_write_nothing(tmp_path):
    files.start_run(tmp_path / "run", Config(), process_index=1)
    assert not (tmp_path / "run").exists()


def test_json_form_is_strict_json_even_for_infinities():
    text = json.dumps(files.to_json({"a": math.inf, "b": (1, 2)}), allow_nan=False)
    assert json.loads(text) == {"a": "inf", "b": [1, 2]}
    with pytest.raises(TypeError, match="cannot be written"):
        files.to_json(object())


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
    assert files._git_version(package) == (None, None)  # there, but not tracked
    git("add", ".")
    git("commit", "-m", "first")
    sha, dirty = files._git_version(package)
    assert len(sha) == 40 and dirty is False
    (package / "__init__.py").write_text("changed = True\n")
    assert files._git_version(package) == (sha, True)


def test_formatted_configuration_has_one_line_per_field():
    lines = files.format_config(Config()).splitlines()
    assert len(lines) == 6
    assert "schedule.batch_size" in lines[1] and lines[1].endswith("= 32,4:512")


def test_common_does_not_import_jax():
    code = (
        "import sys\n"
        "from stylegan_jax import by_resolution, errors\n"
        "from stylegan_jax.io import files, timing\n"
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
