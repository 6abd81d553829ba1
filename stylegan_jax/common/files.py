"""Files of a run directory: atomic writes, configuration, provenance.

A run directory holds `config.json` (the configuration it is trained with),
`provenance.json` (a list with one record per start), `metrics.jsonl`,
`checkpoints/`, `samples/` and `tensorboard/`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import fnmatch
import importlib.metadata
import json
import logging
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from stylegan_jax.common import records
from stylegan_jax.common.by_resolution import ByResolution
from stylegan_jax.common.errors import UserError

_PACKAGES = (
    "stylegan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "chex",
    "numpy",
    "grain",
    "tensorflow-datasets",
)

_CONFIG = (
    "start the same training in another --workdir, stop it, and copy its config.json "
    "here, or go on in the other"
)
_log = logging.getLogger(__name__)


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """Writes a file so that readers see the old content or the new, never a part.

    The folder is made if need be. Text is written as UTF-8.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes its name when the block has ended well.

    As `atomic_write`, for content that comes in parts.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_json(value: Any) -> Any:
    """Plain JSON data of a configuration: dataclasses become dicts, in field order.

    Tables by resolution and paths become text, tuples lists, enumeration members
    their names, infinities and NaN text (JSON has none).

    Raises:
        TypeError: a value has no JSON form.
    """
    if isinstance(value, ByResolution | Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: to_json(getattr(value, f.name)) for f in fields}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): to_json(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be written as JSON")


def flatten(config: Any) -> dict[str, Any]:
    """The configuration's leaves by dotted name, such as `schedule.total_kimg`."""
    return dict(_leaves("", to_json(config)))


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else key, child)
    else:
        yield prefix, value


def format_config(config: Any) -> str:
    """One `section.field = value` line per field, aligned, for people."""
    flat = flatten(config)
    width = max(map(len, flat), default=0)
    return "\n".join(f"{name:<{width}} = {_show(v)}" for name, v in flat.items())


def start_run(
    workdir: str | Path,
    config: Any,
    *,
    devices: Sequence[str] = (),
    may_change: Collection[str] = (),
    process_index: int = 0,
) -> None:
    """Prepares a run directory, or checks that it may be continued.

    A new run gets `config.json`. A continued one must have the same configuration
    but for fields that do not change results. Each start, with its code version and
    machine, is appended to `provenance.json`.

    Args:
        workdir: the run directory; made if need be.
        config: the configuration, a dataclass.
        devices: descriptions of the accelerators.
        may_change: dotted names or patterns (`output.*`) that may differ from the
            stored configuration.
        process_index: only process 0 reads or writes.

    Raises:
        UserError: another configuration is stored there, or `workdir` cannot be a
            run directory.
    """
    if process_index != 0:
        return
    workdir = Path(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"{workdir} is a file; --workdir must be a folder")
    stored_path = workdir / "config.json"
    changes: list[str] = []
    if stored_path.exists():
        stored = records.read(stored_path, {}, way_on=_CONFIG, inside=workdir)
        changes = _check_same(stored, config, workdir, may_change)
    elif (workdir / "checkpoints").exists():
        raise UserError(
            f"{workdir} holds checkpoints but no config.json; give another --workdir"
        )
    starts_path = workdir / "provenance.json"
    starts = _starts(starts_path)
    starts.append(provenance(devices=devices) | {"changes": changes})
    atomic_write(stored_path, json.dumps(to_json(config), indent=2) + "\n")
    atomic_write(starts_path, json.dumps(starts, indent=2) + "\n")


def _check_same(
    stored: Any, config: Any, workdir: Path, may_change: Collection[str]
) -> list[str]:
    """The allowed differences, as text; raises for the others."""
    old, new, defaults = flatten(stored), flatten(config), _defaults(config)
    allowed, refused = [], []
    for name in sorted(old.keys() | new.keys()):
        # A field that the code has gained since is no change at its default.
        before = old.get(name, defaults.get(name, "(not recorded)"))
        after = new.get(name, "(no longer exists)")
        if before != after:
            ours = any(fnmatch.fnmatchcase(name, pattern) for pattern in may_change)
            line = f"{name}: {_show(before)} -> {_show(after)}"
            (allowed if ours else refused).append(line)
    if refused:
        raise UserError(
            f"{workdir} was started with another configuration (stored -> given):\n  "
            + "\n  ".join(refused)
            + "\ngive another --workdir, or the stored values to continue that run"
        )
    return allowed


def _defaults(config: Any, prefix: str = "") -> dict[str, Any]:
    """What each leaf is when nothing is said, in JSON form."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        name = f"{prefix}{field.name}"
        value = getattr(config, field.name)
        nested = dataclasses.is_dataclass(value) and not isinstance(value, ByResolution)
        if field.default is not dataclasses.MISSING:
            found.update(_leaves(name, to_json(field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            found.update(_leaves(name, to_json(field.default_factory())))
        elif nested:
            found.update(_defaults(value, f"{name}."))
    return found


def provenance(*, devices: Sequence[str] = ()) -> dict[str, Any]:
    """Who is running: code version, package versions, machine, command and time."""
    sha, dirty = _git_version(Path(__file__).resolve().parents[1])
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "command": [sys.executable, *sys.argv],
        "git_sha": sha,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "devices": list(devices),
        "packages": dict(_versions()),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _git_version(package: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout that holds the package, and whether files differ.

    None when the package is not tracked by git: the repository around a virtual
    environment is somebody else's.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(package), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _starts(path: Path) -> list[Any]:
    """The starts so far; none, after a warning, where the list is damaged."""
    if not os.path.lexists(path):
        return []
    try:
        way_on = "a new list is begun, and the old one is kept beside it"
        return records.read(path, [{}], way_on=way_on, inside=path.parent)
    except records.DamagedRecordError as error:
        _log.warning("%s: %s", error, records.set_aside(path).name)
        return []


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
