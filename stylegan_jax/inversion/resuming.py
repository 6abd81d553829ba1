"""Checkpoints of unfinished inversions, replaced atomically.

A file has the finished stages and the solver's state in the next one. Its name is a
hash of everything that determines the result, so that only the same work is resumed.
"""

import hashlib
import io
import logging
import re
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
    done: Sequence[Solution],
    start: np.ndarray | None,
    number: int,
    found: Solution,
) -> Arrays:
    """Arrays of the finished stages, their chosen starts, and stage `number` so far."""
    arrays: Arrays = {}
    for stage, solution in enumerate(done):
        parts = {
            "ws": solution.code.ws,
            "latent": solution.latent,
            "loss": solution.loss,
            "history": solution.history,
            "steps": solution.steps,
            "failed": solution.failed,
            "start": start,
            **{f"noise.{i}": noise for i, noise in enumerate(solution.code.noise)},
        }
        arrays |= {
            f"{stage}.{name}": np.asarray(x)
            for name, x in parts.items()
            if x is not None
        }
    for place, leaf in enumerate(jax.tree.leaves(found.state)):
        arrays[f"{number}.state.{place}"] = np.asarray(leaf)
    arrays[f"{number}.part"] = found.history
    return arrays


def unpacked(kept: Arrays) -> list[Solution]:
    """The finished stages."""
    done: list[Solution] = []
    while f"{len(done)}.ws" in kept:
        stage = f"{len(done)}."
        noise = map(jnp.asarray, _numbered(kept, f"{stage}noise."))
        done.append(
            Solution(
                code=Code(jnp.asarray(kept[f"{stage}ws"]), tuple(noise)),
                latent=kept.get(f"{stage}latent"),
                loss=kept[f"{stage}loss"],
                history=kept[f"{stage}history"],
                steps=kept[f"{stage}steps"],
                failed=kept[f"{stage}failed"],
            )
        )
    return done


def unpacked_state(
    kept: Arrays, number: int
) -> tuple[list[np.ndarray] | None, np.ndarray | None]:
    """Leaves of the solver's state in a stage and its losses, if it had begun."""
    return _numbered(kept, f"{number}.state.") or None, kept.get(f"{number}.part")


def _numbered(kept: Arrays, prefix: str) -> list[np.ndarray]:
    count = sum(1 for name in kept if re.fullmatch(re.escape(prefix) + r"\d+", name))
    return [kept[f"{prefix}{place}"] for place in range(count)]
