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
import secrets
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.errors import UserError
from stylegan_jax.io import records

_PACKAGES = (
    "stylegan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "chex",
    "numpy",
    "tensorflow-datasets",
)

_CONFIG = (
    "start the same training in another `workdir`, stop it, and copy its config.json "
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
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # `open` gives the usual permissions; tempfile would make the file private.
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


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
    facts: Mapping[str, Any] | None = None,
    process_index: int = 0,
) -> None:
    """Prepares a run directory, or checks that it may be continued.

    A new run gets `config.json`. A continued one must have the same configuration
    but for the fields that may change. Each start, with its code version and
    machine, is appended to `provenance.json`.

    Args:
        workdir: the run directory; made if need be.
        config: the configuration, a dataclass.
        devices: descriptions of the accelerators.
        may_change: dotted names or patterns (`output.*`) that may differ from the
            stored configuration.
        facts: more for the record of the start.
        process_index: only process 0 reads or writes.

    Raises:
        UserError: another configuration is stored there, or `workdir` cannot be a
            run directory.
    """
    if process_index != 0:
        return
    workdir = Path(workdir)
    found = changes(workdir, config)
    refused = [x for name, x in found.items() if not matches(name, may_change)]
    if refused:
        raise UserError(
            f"{workdir} was started with another configuration (stored -> given):\n  "
            + "\n  ".join(refused)
            + "\ngive another `workdir`, or the stored values to continue that run"
        )
    start = provenance(devices=devices) | {"changes": [*found.values()]}
    listed = [*starts(workdir), start | dict(facts or {})]
    atomic_write(workdir / "config.json", json.dumps(to_json(config), indent=2) + "\n")
    atomic_write(workdir / "provenance.json", json.dumps(listed, indent=2) + "\n")


def starts(workdir: Path) -> list[Any]:
    """The records of a run's starts; none, after a warning, where they are damaged."""
    path = workdir / "provenance.json"
    if not os.path.lexists(path):
        return []
    try:
        way_on = "a new list is begun, and the old one is kept beside it"
        return records.read(path, [{}], way_on=way_on, inside=path.parent)
    except records.DamagedRecordError as error:
        _log.warning("%s: %s", error, records.set_aside(path).name)
        return []


def changes(workdir: Path, config: Any) -> dict[str, str]:
    """What differs from the stored configuration: `name: before -> after`, by name.

    Nothing, where none is stored.

    Raises:
        UserError: `workdir` cannot be a run directory.
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
    stored = stored_config(workdir)
    if not stored.keys() & to_json(config).keys():
        raise UserError(f"{path} is not that of a run; give another `workdir`")
    old, new, defaults = flatten(stored), flatten(config), _defaults(config)
    found = {}
    for name in sorted(old.keys() | new.keys()):
        # A field that the code has gained since is no change at its default.
        before = old.get(name, defaults.get(name, "(not recorded)"))
        after = new.get(name, "(no longer exists)")
        if before != after:
            found[name] = f"{name}: {_show(before)} -> {_show(after)}"
    return found


def stored_config(workdir: Path) -> dict[str, Any]:
    """The configuration that a run was started with, as plain JSON values.

    Raises:
        UserError: it is damaged.
    """
    path = workdir / "config.json"
    return records.read(path, {}, way_on=_CONFIG, inside=workdir)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a dotted name is one of the names and patterns (`output.*`)."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


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


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
