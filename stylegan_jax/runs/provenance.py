"""Configuration and provenance of a run: `config.json` and `provenance.json`.

The latter lists every start: code version, packages, machine, command, time, changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fnmatch
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.records import flatten, to_json

_PACKAGES = (
    *("stylegan_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "chex"),
    *("numpy", "tensorflow-datasets"),
)
CONFIG_AGAIN = (
    "start the same training in another `workdir`, stop it, and copy its config.json "
    "here, or go on in the other"
)
_log = logging.getLogger(__name__)


def start_run(workdir: str | Path, config: Any, **facts: Any) -> None:
    """Writes the configuration of a new or resumed run and records the start.

    `facts` are more for the record. Raises UserError if `workdir` cannot be a run
    directory.
    """
    workdir = Path(workdir)
    changed = [*changes(workdir, config).values()]
    listed = [*starts(workdir), provenance() | {"changes": changed} | facts]
    atomic_write(workdir / "config.json", json.dumps(to_json(config), indent=2) + "\n")
    atomic_write(workdir / "provenance.json", json.dumps(listed, indent=2) + "\n")


def starts(workdir: Path) -> list[Any]:
    """Records of a run's starts; empty, after a warning, if damaged."""
    path = workdir / "provenance.json"
    if not os.path.lexists(path):
        return []
    try:
        way_on = "a new list is begun, and the old one is kept beside it"
        return records.read(path, [{}], way_on=way_on, inside=workdir)
    except records.DamagedRecordError as error:
        _log.warning("%s: %s", error, records.set_aside(path).name)
        return []


def changes(workdir: Path, config: Any) -> dict[str, str]:
    """Differences from a stored configuration: `name: before -> after`, by name.

    Raises UserError if `workdir` cannot be a run directory.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file; `workdir` must be a folder")
    path = workdir / "config.json"
    if not os.path.lexists(path):
        for name in ("checkpoints", "metrics.jsonl"):
            if (workdir / name).exists():
                raise UserError(
                    f"{workdir} holds {name} but no config.json; give another `workdir`"
                )
        return {}
    stored = records.read(path, {}, way_on=CONFIG_AGAIN, inside=workdir)
    if not stored.keys() & to_json(config).keys():
        raise UserError(f"{path} is not that of a run; give another `workdir`")
    old, new, defaults = flatten(stored), flatten(config), _defaults(config)
    found = {}
    for name in sorted(old.keys() | new.keys()):
        # Fields added to the code since are unchanged at their defaults.
        before = old.get(name, defaults.get(name, "(not recorded)"))
        after = new.get(name, "(no longer exists)")
        if before != after:
            found[name] = f"{name}: {_shown(before)} -> {_shown(after)}"
    return found


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a dotted name matches one of the patterns (`output.*`)."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def format_config(config: Any) -> str:
    """One aligned `section.field = value` line per field."""
    flat = flatten(config)
    width = max(map(len, flat), default=0)
    return "\n".join(f"{name:<{width}} = {_shown(v)}" for name, v in flat.items())


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _defaults(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
        elif dataclasses.is_dataclass(value := getattr(config, field.name)):
            found[field.name] = _defaults(value)
    return flatten(found)


def provenance() -> dict[str, Any]:
    """Code version, package versions, machine, command and time."""
    sha, dirty = _git_version(Path(__file__).resolve().parents[1])
    packages = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "command": [sys.executable, *sys.argv],
        "git_sha": sha,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "packages": packages,
    }


def _git_version(package: Path) -> tuple[str | None, bool | None]:
    """Commit and whether files differ; None unless git tracks the package itself."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(package), *words]
        return subprocess.check_output(
            command, stderr=subprocess.DEVNULL, text=True, timeout=20
        ).strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return None, None
