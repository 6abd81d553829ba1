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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stylegan_jax.distributed import processes
from stylegan_jax.io import array_files, cache
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
        self._files: list[ResultFile] = []

    @property
    def needs_keys(self) -> bool:
        """Whether this process needs keys, which are slow to compute."""
        return self.enabled and jax.process_index() == 0

    def file(self, key: Key, *, lasting: bool = False) -> "ResultFile":
        """The file of this key."""
        path = _path(key) if self.enabled else None
        self._files.append(ResultFile(path, lasting, EVERY_SECONDS))
        return self._files[-1]

    def finish(self) -> None:
        """Removes results that are not `lasting`."""
        for file in self._files:
            if not file.lasting:
                file.remove()


@dataclasses.dataclass
class ResultFile:
    """Results so far, saved `every` so many seconds, whole ones if they are to last.

    A `path` of None saves nothing. Process 0 writes.
    """

    path: Path | None = None
    lasting: bool = False
    every: float = EVERY_SECONDS
    _last: float = dataclasses.field(default_factory=time.monotonic)

    def restore(self) -> Arrays:
        """Arrays of the last `save`, or {}; the same in all processes."""
        return _read(self.path) if self.path else {}

    def save(self, arrays: Callable[[], Arrays], *, whole: bool) -> None:
        """Saves the result of `arrays`, unless the last time was a moment ago."""
        due = self.lasting if whole else time.monotonic() - self._last >= self.every
        if self.path is None or jax.process_index() != 0 or not due:
            return
        try:
            with atomic_file(self.path) as file:
                np.savez(file, allow_pickle=False, **arrays())
        except OSError as error:  # costs only time
            _logger.warning("%s cannot be written (%s)", self.path, error.strerror)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Removes the file if it exists."""
        if self.path and jax.process_index() == 0:
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
            found = array_files.read_npz(path)
        except (ValueError, OSError) as error:
            _logger.warning("%s is damaged (%s); computing it again", path, error)
    if jax.process_count() == 1:
        return found
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **found)
    sent = processes.broadcast(buffer.getvalue())
    return dict(np.load(io.BytesIO(sent), allow_pickle=False))
