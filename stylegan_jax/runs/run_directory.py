"""Run directory: configuration, record of starts, data.

| file | contents |
|---|---|
| `config.json` | the configuration, as plain JSON |
| `provenance.json` | every start: code, machine, data, changes |
| `checkpoints/` | see `runs/checkpoint.py` |
| `.lock` | held by the process that trains (`io/locks.py`) |
"""

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
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import Source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.io import mirror, records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.records import flatten, to_json
from stylegan_jax.networks.config import ModelConfig, stored_model_config
from stylegan_jax.runs import stored

LOCK = ".lock"
_FINGERPRINTED = 256  # images: reading more takes long
_SECTIONS = ("model", "data", "schedule", "run")
_PACKAGES = (
    *("stylegan_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "chex"),
    *("numpy", "tensorflow-datasets"),
)
CONFIG_AGAIN = (
    "start the same training in another `workdir`, stop it, and copy its config.json "
    "here, or go on in the other"
)
_log = logging.getLogger(__name__)


def run_of(path: Path) -> Path | None:
    """Run directory of a run or checkpoint path, or None; of a bucket, a local copy."""
    if mirror.is_remote(path):
        path = mirror.fetched(mirror.as_url(path))
    above = path.absolute()
    runs = [x.parent for x in (above, above.parent) if x.name == "checkpoints"]
    return next((x for x in (path, *runs) if (x / "config.json").exists()), None)


def shown(run: Path) -> int | None:
    """Images shown to the newest checkpoint, None without one."""
    steps = stored.step_directories(run / "checkpoints")
    return steps[0][0] if steps else None


def read_config(
    run: Path, needs: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Sections of a run's configuration, as plain JSON values.

    `needs` has shapes (`records`) of required fields, by section. Raises UserError if
    the file is missing or invalid.
    """
    if not (run / "config.json").exists():
        raise UserError(
            f"{run} is not a run directory: it has no config.json; give what "
            "`workdir` was in training"
        )
    shape = {section: {**(needs or {}).get(section, {})} for section in _SECTIONS}
    return records.read(run / "config.json", shape, way_on=CONFIG_AGAIN, inside=run)


def data_config(run: Path) -> DataConfig:
    """Data configuration of a run; UserError also for other versions' runs."""
    return _described(run, "data", _stored_data_config)


def model_config(run: Path) -> ModelConfig:
    """Architecture of a run's networks; UserError also for other versions' runs."""
    return _described(run, "model", stored_model_config)


def _described(run: Path, section: str, make: Callable[[dict[str, Any]], Any]) -> Any:
    found = read_config(run)[section]
    try:
        return make(found)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{run / 'config.json'} does not describe the {section} ({error}); if no "
            f"other version made the run, {CONFIG_AGAIN}"
        ) from error


def _stored_data_config(section: dict[str, Any]) -> DataConfig:
    shape = {}
    for name, hint in typing.get_type_hints(DataConfig).items():
        text = typing.get_origin(hint) is typing.Literal
        shape[name] = str if text else typing.get_args(hint) or hint
    records.check(section, {name: shape.get(name, object) for name in section})
    return DataConfig(**section)


def begin(
    workdir: Path,
    config: Any,
    source: Source,
    *,
    devices: Sequence[str],
    resolution: int,
    changed: Mapping[str, str],
) -> None:
    """Makes or updates a run directory, on process 0; warns of changes.

    `devices` describe the accelerators, `resolution` is the data's, for the fingerprint
    of some images, and `changed` is from `changes`.
    """
    nimg = shown(workdir)
    if changed:
        way = "goes on" if nimg is not None else "has no checkpoint: it begins anew,"
        _log.warning("%s %s with %s", workdir, way, "; ".join(changed.values()))
    some = [*map(int, spread(len(source), _FINGERPRINTED))]
    fingerprint = source.fingerprint(some, resolution)
    data = {"name": source.name, "count": len(source), "fingerprint": fingerprint}
    known = [x.get("data") for x in starts(workdir)]
    known = [x for x in known if isinstance(x, dict)]
    if nimg is not None and known and known[-1].get("fingerprint") != fingerprint:
        _log.warning(
            "other images than at the last start: %s of %s then, %s of %s now; "
            "training goes on with those of now",
            *(known[-1].get("count"), known[-1].get("name")),
            *(data["count"], data["name"]),
        )
    facts = {"devices": list(devices), "nimg": nimg or 0, "data": data}
    start_run(workdir, config, **facts)


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
    known = records.read(path, {}, way_on=CONFIG_AGAIN, inside=workdir)
    if not known.keys() & to_json(config).keys():
        raise UserError(f"{path} is not that of a run; give another `workdir`")
    old, new, defaults = flatten(known), flatten(config), _defaults(config)
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
