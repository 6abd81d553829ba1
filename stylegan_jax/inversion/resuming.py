"""Unfinished work of a batch in a file: arrays by name, replaced at once.

The name of the file is that of the work: images, recipe and network. Other work has
another name, so nothing is ever continued that is not the same.
"""

import hashlib
import io
import logging
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stylegan_jax.io.atomic import atomic_write

Arrays = dict[str, np.ndarray]

FOLDER = "unfinished"
_logger = logging.getLogger(__name__)


def contents(tree: Any) -> Iterator[bytes]:
    """What the arrays of a tree hold, with their names and shapes, for `identity`."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        name = jax.tree_util.keystr(path)
        yield f"{name} {array.dtype} {array.shape}".encode()
        yield array.tobytes()


def identity(parts: Iterable[bytes]) -> str:
    """A name for what determines a result."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


class ProgressFile:
    """Where the work of a batch is kept until it is done."""

    def __init__(self, folder: Path, name: str, every_seconds: float) -> None:
        """Nothing is read or written yet.

        Args:
            folder: of all such files; made when the first is written.
            name: of the work, from `identity`.
            every_seconds: between two savings.
        """
        self._path = folder / FOLDER / f"{name}.npz"
        self._every, self._saved = every_seconds, time.monotonic()

    def load(self) -> Arrays | None:
        """What was kept; None if there is nothing, or it is damaged."""
        try:
            with np.load(self._path, allow_pickle=False) as archive:
                return dict(archive)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            _logger.warning("%s is damaged (%s); it starts anew", self._path, error)
            return None

    def save(self, make: Callable[[], Arrays]) -> None:
        """Keeps what `make` returns, if the last time is long enough ago."""
        if time.monotonic() - self._saved < self._every:
            return
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **make())
        atomic_write(self._path, stream.getvalue())
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Forgets the work; the folder too when it was the last."""
        self._path.unlink(missing_ok=True)
        if self._path.parent.is_dir() and not any(self._path.parent.iterdir()):
            self._path.parent.rmdir()
