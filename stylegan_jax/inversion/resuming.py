"""Checkpoints of unfinished inversions: `metrics.store.ResultFile`s.

A file has the finished stages and the solver's state in the next one. Its name is a
hash of everything that determines the result, so that only the same work is resumed.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.problem import Solution
from stylegan_jax.metrics.store import ResultFile

Arrays = dict[str, np.ndarray]

FOLDER = "unfinished"
_NUMBERS = ("loss", "history", "steps", "failed")  # of a `Solution`, by image


def remove(file: ResultFile) -> None:
    """Removes a finished piece of work, and its folder if it was the last."""
    file.remove()
    folder = file.path.parent if file.path else None
    if folder and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


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
        numbers: dict[str, Any] = {name: kept[f"{stage}{name}"] for name in _NUMBERS}
        done.append(
            Solution(
                code=Code(jnp.asarray(kept[f"{stage}ws"]), tuple(noise)),
                latent=kept.get(f"{stage}latent"),
                **numbers,
            )
        )
    state = _numbered(kept, f"{len(done)}.state.") or None
    return done, kept.get("0.start"), state, kept.get(f"{len(done)}.part")


def _numbered(kept: Arrays, prefix: str) -> list[np.ndarray]:
    names = (f"{prefix}{place}" for place in itertools.count())
    return [kept[name] for name in itertools.takewhile(kept.__contains__, names)]
