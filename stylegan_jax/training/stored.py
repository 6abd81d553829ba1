"""How a checkpoint lies on disk, and reading it with every byte checked.

A checkpoint is a directory `nimg_<9 digits>` with two Orbax items: `state`, a
nested dict of host arrays named by their path in the train state
(`g_ema/synthesis/block4/const/bias`), and `meta`, a JSON record of every leaf's
type, shape and CRC-32. Orbax restores a flipped bit without noticing; the CRC does
not. Beside them lies `checksums.json` with the CRC-32 of every file, so that damage
is noticed also where no array would be wrong; it is written last, and a checkpoint
without it (the process was killed in between) is checked by its arrays alone.
Nothing here knows the train state's classes, so a part of a checkpoint can be read
without the training code.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from stylegan_jax.common import files

STEP_PREFIX = "nimg"
STEP_DIGITS = 9
_SEAL = "checksums.json"
_STEP_NAME = re.compile(rf"{STEP_PREFIX}_(\d{{{STEP_DIGITS},}})")


class UnreadableCheckpoint(Exception):
    """A checkpoint is damaged; the message says what is wrong with it."""


class StoredStep(NamedTuple):
    """What `read_step` found, checked."""

    leaves: dict[str, np.ndarray]  # path in the state -> array
    metadata: dict[str, Any]  # as given to `Checkpoints.save`
    names: list[str]  # every path in the checkpoint, also those not read


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by path, such as `d_opt_state/0/mu/block4/conv/bias`.

    Dict keys, field names of dataclasses and named tuples and positions in
    tuples are joined by slashes.

    Raises:
        ValueError: a leaf is not an array, is a typed random key, or shares its
            path with another.
    """
    named: dict[str, Any] = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = "/".join(_text(key) for key in keys)
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            raise ValueError(
                f"{name} is a {type(leaf).__name__}; a state holds only arrays"
            )
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(f"{name} is a typed key; store jax.random.key_data of it")
        if name in named:
            raise ValueError(f"two leaves of the state are called {name}")
        named[name] = leaf
    return named


def _text(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    raise ValueError(f"unknown kind of path entry {key!r}")


def nested(named: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts from paths; the reverse of `named_leaves` for plain dicts."""
    tree: dict[str, Any] = {}
    for name, leaf in named.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def sequences_restored(tree: Any) -> Any:
    """Turns dicts keyed `0`, `1`, ... back into tuples, recursively."""
    if not isinstance(tree, dict):
        return tree
    children = {key: sequences_restored(child) for key, child in tree.items()}
    positions = [str(i) for i in range(len(children))]
    if children and set(children) == set(positions):
        return tuple(children[position] for position in positions)
    return children


def describe(
    nimg: int, leaves: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The `meta` item: every leaf's type, shape and CRC-32, and a CRC of itself."""
    record: dict[str, Any] = {
        "nimg": nimg,
        "metadata": dict(metadata),
        "leaves": {name: _fingerprint(leaf) for name, leaf in leaves.items()},
    }
    record["crc32"] = _record_crc(record)
    return record


def _fingerprint(array: np.ndarray) -> list[Any]:
    crc = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return [str(array.dtype), list(array.shape), crc]


def _record_crc(record: Mapping[str, Any]) -> int:
    rest = {key: value for key, value in record.items() if key != "crc32"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def step_name(nimg: int) -> str:
    """Name of the directory of a checkpoint."""
    return f"{STEP_PREFIX}_{nimg:0{STEP_DIGITS}d}"


def step_directories(directory: Path) -> list[tuple[int, Path]]:
    """(nimg, path) of the finished checkpoints in `directory`, newest first."""
    if not directory.is_dir():
        return []
    found = [
        (int(match[1]), path)
        for path in directory.iterdir()
        if (match := _STEP_NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return sorted(found, reverse=True)


def seal(path: Path) -> None:
    """Notes the CRC-32 of every file of a finished checkpoint, beside them."""
    crcs = {
        file.relative_to(path).as_posix(): _file_crc(file)
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    content = {"files": crcs, "crc32": _record_crc({"files": crcs})}
    files.atomic_write(path / _SEAL, json.dumps(content, indent=2) + "\n")


def check_seal(path: Path) -> None:
    """Compares every file with what `seal` noted; without a note nothing is compared.

    Raises:
        UnreadableCheckpoint: a file, or the note, has changed or is gone.
    """
    if not (path / _SEAL).exists():
        return
    try:
        content = json.loads((path / _SEAL).read_text())
        intact = content["crc32"] == _record_crc(content)
        crcs = content["files"]
    except (OSError, ValueError, KeyError, TypeError):
        intact, crcs = False, {}
    if not intact:
        raise UnreadableCheckpoint(f"{_SEAL} has changed (CRC mismatch)")
    for name, crc in crcs.items():
        if not (path / name).is_file():
            raise UnreadableCheckpoint(f"{name} is gone")
        if _file_crc(path / name) != crc:
            raise UnreadableCheckpoint(f"{name} has changed on disk (CRC mismatch)")


def _file_crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            crc = zlib.crc32(chunk, crc)
    return crc


def read_step(
    nimg: int, path: Path, subtrees: Iterable[str] | None = None
) -> StoredStep:
    """Reads a checkpoint, or only some of the state's fields, onto the host.

    Args:
        nimg: the image count its name promises.
        path: the checkpoint's directory.
        subtrees: first parts of the paths to read, such as `g_ema`; None reads all.

    Raises:
        UnreadableCheckpoint: anything is missing, unreadable or changed.
    """
    try:
        check_seal(path)
        with _reader(ocp.JsonCheckpointHandler()) as reader:
            record = reader.restore(path / "meta")
        if record["crc32"] != _record_crc(record) or record["nimg"] != nimg:
            raise UnreadableCheckpoint("its meta record has changed (CRC mismatch)")
        wanted = None if subtrees is None else set(subtrees)
        fingerprints = {
            name: fingerprint
            for name, fingerprint in record["leaves"].items()
            if wanted is None or name.split("/")[0] in wanted
        }
        with _late_callbacks_ignored():
            leaves = _read_arrays(path / "state", fingerprints)
    except UnreadableCheckpoint:
        raise
    except Exception as error:  # Orbax raises KeyError, ValueError, bare Exception ...
        reason = (str(error).strip() or "no message").splitlines()[0][:200]
        raise UnreadableCheckpoint(f"{type(error).__name__}: {reason}") from error
    for name, array in leaves.items():
        if _fingerprint(array) != fingerprints[name]:
            raise UnreadableCheckpoint(f"{name} has changed on disk (CRC mismatch)")
    return StoredStep(leaves, record["metadata"], sorted(record["leaves"]))


def _alone() -> ocp.options.MultiprocessingOptions:
    """This process reads by itself: Orbax would wait for the others."""
    index = jax.process_index()
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=index, active_processes={index}, barrier_sync_key_prefix="read"
    )


def _reader(handler: ocp.CheckpointHandler) -> ocp.Checkpointer:
    return ocp.Checkpointer(handler, multiprocessing_options=_alone())


def _read_arrays(
    path: Path, fingerprints: Mapping[str, list[Any]]
) -> dict[str, np.ndarray]:
    if not fingerprints:
        return {}
    # The names and shapes come from our own record: no template is needed, and
    # arrays come back as NumPy, whatever devices wrote them.
    item = nested(
        {
            name: jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype))
            for name, (dtype, shape, _) in fingerprints.items()
        }
    )
    restore_args = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
    with _reader(handler) as reader:
        tree = reader.restore(
            path,
            args=ocp.args.PyTreeRestore(
                item=item, restore_args=restore_args, partial_restore=True
            ),
        )
    return {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}


@contextlib.contextmanager
def _late_callbacks_ignored() -> Iterator[None]:
    """Keeps a failed read quiet.

    At the first array that cannot be read Orbax closes its event loop, and every
    read still under way then complains on standard error that it is closed.
    """
    former = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            former(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    except BaseException:
        time.sleep(0.5)  # until the others have ended; a rare path
        raise
    finally:
        sys.unraisablehook = former


@contextlib.contextmanager
def thread_errors_told_once() -> Iterator[None]:
    """Drops the tracebacks that Orbax's threads log before the error is raised."""

    def is_news(record: logging.LogRecord) -> bool:
        return "_SignalingThread" not in str(record.msg)

    logger = logging.getLogger("absl")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
