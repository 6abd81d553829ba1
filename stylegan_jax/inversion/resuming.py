"""Checkpoints of unfinished inversions, replaced atomically.

A file has the finished stages and the solver's state in the next one. Its name is a
hash of everything that determines the result, so that only the same work is resumed.
"""

import hashlib
import io
import itertools
import logging
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.problem import Solution
from stylegan_jax.io.atomic import atomic_write

Arrays = dict[str, np.ndarray]

FOLDER = "unfinished"
_NUMBERS = ("loss", "history", "steps", "failed")  # of a `Solution`, by image
_logger = logging.getLogger(__name__)


def contents(tree: Any) -> Iterator[bytes]:
    """Names, shapes and bytes of a tree's arrays, for `identity`."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        name = jax.tree_util.keystr(path)
        yield f"{name} {array.dtype} {array.shape}".encode()
        yield array.tobytes()


def identity(parts: Iterable[bytes]) -> str:
    """A name for parts that determine a result."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


class ProgressFile:
    """The checkpoint of a batch."""

    def __init__(self, folder: Path, name: str, every_seconds: float) -> None:
        """Checkpoint `name` (an `identity`) in a folder below `folder`."""
        self._path = folder / FOLDER / f"{name}.npz"
        self._every, self._saved = every_seconds, time.monotonic()

    def load(self) -> Arrays:
        """The stored arrays; none if the file is missing or damaged."""
        try:
            with np.load(self._path, allow_pickle=False) as archive:
                return dict(archive)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            _logger.warning("%s is damaged (%s); it starts anew", self._path, error)
            return {}

    def is_due(self) -> bool:
        """Whether `every_seconds` have passed since the last save."""
        return time.monotonic() - self._saved >= self._every

    def save(self, arrays: Arrays) -> None:
        """Replaces the stored arrays."""
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        atomic_write(self._path, stream.getvalue())
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Deletes the file, and the folder if it is empty."""
        self._path.unlink(missing_ok=True)
        if self._path.parent.is_dir() and not any(self._path.parent.iterdir()):
            self._path.parent.rmdir()


def packed(
    done: Sequence[Solution], start: np.ndarray | None, found: Solution
) -> Arrays:
    """Arrays of the finished stages, their chosen starts, and the next stage so far."""
    arrays: Arrays = {f"{len(done)}.part": found.history}
    for place, leaf in enumerate(jax.tree.leaves(found.state)):
        arrays[f"{len(done)}.state.{place}"] = np.asarray(leaf)
    for stage, solution in enumerate(done):
        code, latent = solution.code, solution.latent
        parts = {"ws": code.ws, "latent": latent, "start": start}
        parts |= {f"noise.{i}": noise for i, noise in enumerate(code.noise)}
        parts |= {name: getattr(solution, name) for name in _NUMBERS}
        for name, array in parts.items():
            if array is not None:
                arrays[f"{stage}.{name}"] = np.asarray(array)
    return arrays


def unpacked(
    kept: Arrays,
) -> tuple[
    list[Solution], np.ndarray | None, list[np.ndarray] | None, np.ndarray | None
]:
    """The finished stages, their starts, and the next one's solver state and losses."""
    done: list[Solution] = []
    while f"{len(done)}.ws" in kept:
        stage = f"{len(done)}."
        noise = map(jnp.asarray, _numbered(kept, f"{stage}noise."))
        done.append(
            Solution(
                code=Code(jnp.asarray(kept[f"{stage}ws"]), tuple(noise)),
                latent=kept.get(f"{stage}latent"),
                **{name: kept[f"{stage}{name}"] for name in _NUMBERS},
            )
        )
    state = _numbered(kept, f"{len(done)}.state.") or None
    return done, kept.get("0.start"), state, kept.get(f"{len(done)}.part")


def _numbered(kept: Arrays, prefix: str) -> list[np.ndarray]:
    names = (f"{prefix}{place}" for place in itertools.count())
    return [kept[name] for name in itertools.takewhile(kept.__contains__, names)]
