"""Cache of measures: results of the data for good, of samples until they are scored.

A file in `cache.folder("measures")` is named by a digest of all it depends on, and may
be removed at any time. Process 0 reads and writes, and broadcasts.
"""

import dataclasses
import hashlib
import io
import json
import logging
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stylegan_jax.distributed import processes
from stylegan_jax.io import cache
from stylegan_jax.io.atomic import atomic_file

Arrays = dict[str, np.ndarray]
Key = Mapping[str, Any]  # JSON: what the content depends on

EVERY_SECONDS = 60.0  # between saves of partial results
FORMAT = 1  # of the key
_logger = logging.getLogger(__name__)


def digest(tree: Any) -> str:
    """SHA-256 of arrays: names in the tree, types, shapes and bytes."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(jax.device_get(leaf))
        name = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n"
        found.update(name.encode())
        found.update(array.tobytes())
    return found.hexdigest()


class Store:
    """Files of one measure; inactive if not `enabled`."""

    def __init__(self, *, enabled: bool = True) -> None:
        """Touches no file."""
        self.enabled = enabled
        self._partials: list[Partial] = []

    @property
    def needs_keys(self) -> bool:
        """Whether this process needs keys, which are slow to compute."""
        return self.enabled and jax.process_index() == 0

    def read(self, key: Key) -> Arrays:
        """Arrays of `write`, or {}."""
        return _read(_path(key)) if self.enabled else {}

    def write(self, key: Key, arrays: Mapping[str, np.ndarray]) -> None:
        """Stores arrays for good."""
        if self.enabled:
            _write(_path(key), arrays)

    def partial(self, key: Key) -> "Partial":
        """File of partial results of this key."""
        path = _path({**key, "partial": True}) if self.enabled else None
        self._partials.append(Partial(path))
        return self._partials[-1]

    def finish(self) -> None:
        """Removes partial results."""
        for partial in self._partials:
            partial.remove()


@dataclasses.dataclass
class Partial:
    """Partial results, saved every minute; a `path` of None saves nothing."""

    path: Path | None = None
    _last: float = dataclasses.field(default_factory=time.monotonic)

    def restore(self) -> Arrays:
        """Arrays of the last `save`, or {}."""
        return _read(self.path) if self.path else {}

    def save(self, arrays: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Saves the result of `arrays` if a minute has passed."""
        if self.path is None or jax.process_index() != 0:
            return
        if time.monotonic() - self._last >= EVERY_SECONDS:
            _write(self.path, arrays())
            self._last = time.monotonic()

    def remove(self) -> None:
        """Removes the file if it exists."""
        if self.path is not None and jax.process_index() == 0:
            self.path.unlink(missing_ok=True)


def _path(key: Key) -> Path:
    text = json.dumps({**key, "format": FORMAT}, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    return cache.folder("measures") / f"{name}.npz"


def _read(path: Path) -> Arrays:
    """Arrays of process 0's file, broadcast; {} if missing or damaged."""
    found: Arrays = {}
    if jax.process_index() == 0 and path.exists():
        try:
            # Opened here, since NumPy leaves other files open.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                found = dict(archive)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as e:
            _logger.warning("%s is damaged (%s); computing it again", path, e)
    if jax.process_count() == 1:
        return found
    buffer, fields = io.BytesIO(), dict[str, Any](found)
    np.savez(buffer, **fields)
    sent = processes.broadcast(buffer.getvalue())
    return dict(np.load(io.BytesIO(sent), allow_pickle=False))


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    if jax.process_index() != 0:
        return
    try:
        with atomic_file(path) as file:
            fields: dict[str, Any] = {**arrays}
            np.savez(file, **fields)
    except OSError as error:  # costs only time
        _logger.warning("%s cannot be written (%s)", path, error.strerror)
