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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from stylegan_jax.distributed import processes
from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, cache
from stylegan_jax.io.atomic import atomic_file
from stylegan_jax.metrics.frechet import RunningStatistics

Arrays = dict[str, Any]

EVERY_SECONDS = 60.0  # between saves of partial results
FORMAT = 1  # of the key
_logger = logging.getLogger(__name__)


class Rows:
    """Accumulator of trees of arrays `[N, ...]`."""

    def __init__(self, **kept: np.ndarray) -> None:
        """Starts with the arrays "0", "1", ..."""
        self.count = 0
        self._parts: list[list[np.ndarray]] = []
        if kept:
            self.add([kept[str(i)] for i in range(len(kept))])

    def add(self, chunk: Any) -> None:
        """Adds the rows of one tree."""
        self._parts.append(jax.tree.leaves(chunk))
        self.count += len(self._parts[-1][0])

    def joined(self) -> list[np.ndarray]:
        """The tree's leaves, `[count, ...]` each."""
        return [np.concatenate(column) for column in zip(*self._parts, strict=True)]

    def arrays(self) -> Arrays:
        """The leaves by number."""
        return {str(i): leaf for i, leaf in enumerate(self.joined())}


S = TypeVar("S", Rows, RunningStatistics)


@dataclasses.dataclass
class ResultFile:
    """Results so far, saved every so many seconds by process 0, if there is a path."""

    path: Path | None = None
    every: float = EVERY_SECONDS
    _last: float = dataclasses.field(default_factory=time.monotonic)

    def restore(self) -> Arrays:
        """The arrays in all processes; {} if missing or damaged."""
        if self.path is None:
            return {}
        found: Arrays = {}
        if jax.process_index() == 0 and self.path.exists():
            try:
                found = array_files.read_npz(self.path)
            except UserError as error:
                _logger.warning(
                    "%s is damaged (%s); computing it again", self.path, error
                )
        if jax.process_count() == 1:
            return found
        buffer = io.BytesIO()
        np.savez(buffer, **found)
        return dict(np.load(io.BytesIO(processes.broadcast(buffer.getvalue()))))

    def save(self, arrays: Callable[[], Arrays], *, now: bool = False) -> None:
        """Saves the result of `arrays` if it is time or `now`; a failure only warns."""
        due = now or time.monotonic() - self._last >= self.every
        if self.path is None or jax.process_index() != 0 or not due:
            return
        try:
            with atomic_file(self.path) as file:
                np.savez(file, **arrays())
        except OSError as error:  # costs only time
            _logger.warning("%s cannot be written (%s)", self.path, error.strerror)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Removes the file if it exists."""
        if self.path is not None and jax.process_index() == 0:
            self.path.unlink(missing_ok=True)


class Store:
    """Files of one measure; inactive if not `enabled`."""

    def __init__(self, *, enabled: bool = True) -> None:
        """Touches no file."""
        self.enabled = enabled
        self._partials: list[ResultFile] = []

    @property
    def needs_keys(self) -> bool:
        """Whether this process needs keys, which are slow to compute."""
        return self.enabled and jax.process_index() == 0

    def file(self, key: Mapping[str, Any]) -> ResultFile:
        """The file of results that depend on `key`, which is JSON."""
        text = json.dumps({**key, "format": FORMAT}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        path = cache.folder("measures") / f"{name}.npz"
        return ResultFile(path if self.enabled else None, EVERY_SECONDS)

    def accumulate(
        self,
        key: Mapping[str, Any],
        make: Callable[..., S],
        chunks: Callable[[int], Iterator[Any]],
        count: int,
        *,
        lasting: bool = False,
    ) -> S:
        """The state of `make` that has all of `count` results.

        `chunks` yields results from an index on. They are saved every minute and
        resumed; `lasting` states are kept after the measure has been taken.
        """
        whole, partial = self.file(key), self.file({**key, "partial": True})
        if lasting and (found := whole.restore()):
            return make(**found)
        state = make(**partial.restore())
        for chunk in chunks(state.count):
            state.add(chunk)
            if state.count < count:
                partial.save(state.arrays)
        if lasting:
            whole.save(state.arrays, now=True)
            partial.remove()
        else:
            self._partials.append(partial)
        return state

    def finish(self) -> None:
        """Removes partial results."""
        for partial in self._partials:
            partial.remove()


def digest(tree: Any) -> str:
    """SHA-256 of arrays: names in the tree, types, shapes and bytes."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(jax.device_get(leaf))
        name = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n"
        found.update(name.encode())
        found.update(array.tobytes())
    return found.hexdigest()
