"""On-disk format of a checkpoint, with checksums of every byte.

A checkpoint is a directory `nimg_<9 digits>` with two Orbax items: `state`, a nested
dict of host arrays named by their path in the train state
(`g_ema/synthesis/block4/const/bias`), and `meta`, a JSON record of every leaf's type,
shape and CRC-32 (Orbax restores a flipped bit without noticing). The seal,
`checksums.json`, has the CRC-32 of every file and is written last; without it, after
an interrupted save, only the arrays are checked. Reading needs no class of the state.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict

from stylegan_jax.errors import UserError, in_a_line
from stylegan_jax.io import records
from stylegan_jax.io.atomic import atomic_write

_SEAL = "checksums.json"
MAX_STATE_BYTES = 1 << 35  # of all arrays; the state of a 1024 px run has 0.8 GB
_MAX_RATIO = 100  # of arrays to the files they are in; moments begin as zeros
_FREE_BYTES = 1 << 26
_MAX_FILES = 10_000
_MAX_INDEX_BYTES = 1 << 22  # of a file without arrays; of 200 arrays it has 60 kB
_RECORD = {"nimg": int, "metadata": {}, "leaves": {...: [object]}, "crc32": int}
_SEALED = {"files": {...: int}, "crc32": int}
_LEAF_NAME = re.compile(r"\w+(/\w+)*", re.ASCII)
_STEP_NAME = re.compile(r"nimg_(\d{9,18})", re.ASCII)


class UnreadableCheckpoint(Exception):
    """A checkpoint is damaged."""


class StoredStep(NamedTuple):
    """Checked result of `read_step`."""

    leaves: dict[str, np.ndarray]  # path in the state -> array
    metadata: dict[str, Any]  # as given to `write_step`
    names: list[str]  # every path in the checkpoint, also those not read


def step_name(nimg: int) -> str:
    """Directory name of a checkpoint."""
    return f"nimg_{nimg:09d}"


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


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path, such as `d_opt_state/0/mu/block4/conv/bias`.

    Raises UserError for typed random keys and other non-arrays.
    """
    named: dict[str, Any] = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = _name(keys)
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            raise UserError(
                f"{name} is a {type(leaf).__name__}; a state holds only arrays"
            )
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise UserError(f"{name} is a typed key; store jax.random.key_data of it")
        named[name] = leaf
    return named


def _name(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def tree_of(leaves: Mapping[str, Any]) -> Any:
    """Nested dicts of leaves by path; dicts keyed `0`, `1`, ... become tuples."""

    def sequences(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        children = {key: sequences(child) for key, child in tree.items()}
        positions = [str(i) for i in range(len(children))]
        if children and set(children) == set(positions):
            return tuple(children[position] for position in positions)
        return children

    return sequences(unflatten_dict(leaves, sep="/"))


# --- Writing -----------------------------------------------------------------------


def write_step(
    nimg: int,
    path: Path,
    leaves: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
) -> None:
    """Writes a checkpoint to a temporary directory, renames and seals it."""
    alone: dict[str, Any] = {"multiprocessing_options": _alone()}
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.StandardCheckpointHandler(**alone),
        meta=ocp.JsonCheckpointHandler(**alone),
        composite_options=ocp.CompositeOptions(**alone),
    )
    items = ocp.args.Composite(
        state=ocp.args.StandardSave(unflatten_dict(leaves, sep="/")),
        meta=ocp.args.JsonSave(describe(nimg, leaves, metadata)),
    )
    with ocp.Checkpointer(handler, **alone) as writer:
        writer.save(path, args=items)
    # Without space for the seal, the arrays' own CRCs remain.
    with contextlib.suppress(OSError):
        files = sorted(x for x in path.rglob("*") if x.is_file())
        crcs = {x.relative_to(path).as_posix(): _file_crc(x) for x in files}
        content = {"files": crcs, "crc32": _record_crc({"files": crcs})}
        atomic_write(path / _SEAL, json.dumps(content, indent=2) + "\n")


def _alone() -> ocp.options.MultiprocessingOptions:
    """Options without barriers: Orbax would wait for the other processes."""
    index = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=index,
        active_processes={index},
        barrier_sync_key_prefix="stylegan_jax",
    )


def describe(
    nimg: int, leaves: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The `meta` item: every leaf's type, shape and CRC-32, and a CRC of itself."""
    fingerprints = {name: _fingerprint(leaf) for name, leaf in leaves.items()}
    record = {"nimg": nimg, "metadata": dict(metadata), "leaves": fingerprints}
    return record | {"crc32": _record_crc(record)}


def _fingerprint(array: np.ndarray) -> list[Any]:
    crc = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return [str(array.dtype), list(array.shape), crc]


def _record_crc(record: Mapping[str, Any]) -> int:
    rest = {key: value for key, value in record.items() if key != "crc32"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _file_crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            crc = zlib.crc32(chunk, crc)
    return crc


# --- Reading -----------------------------------------------------------------------


def read_step(
    nimg: int, path: Path, subtrees: Iterable[str] | None = None
) -> StoredStep:
    """Reads a checkpoint, or only some of the state's fields, onto the host.

    `nimg` is the expected image count; `subtrees` are first parts of the paths to read,
    such as `g_ema`. Raises UnreadableCheckpoint if anything is missing or changed.
    """
    try:
        sizes = _stored_files(path)
        # Path of Orbax's JSON handler.
        record = _read_record(path / "meta" / "metadata", _RECORD)
        if record["nimg"] != nimg:
            raise UnreadableCheckpoint(f"its meta record is of {record['nimg']} images")
        _check_described(record["leaves"], sum(sizes.values()))
        seal = _read_record(path / _SEAL, _SEALED)["files"] if _SEAL in sizes else {}
        for name, crc in seal.items():
            if name not in sizes:
                raise UnreadableCheckpoint(f"{name} is gone")
            if _file_crc(path / name) != crc:
                raise UnreadableCheckpoint(f"{name} has changed on disk (CRC mismatch)")
        wanted = None if subtrees is None else set(subtrees)
        fingerprints = {
            name: fingerprint
            for name, fingerprint in record["leaves"].items()
            if wanted is None or name.split("/")[0] in wanted
        }
        leaves = _read_arrays(path / "state", fingerprints) if fingerprints else {}
    except UnreadableCheckpoint:
        raise
    except Exception as error:  # Orbax raises KeyError, ValueError, bare Exception ...
        raise UnreadableCheckpoint(in_a_line(error)) from error
    for name, array in leaves.items():
        if _fingerprint(array) != fingerprints[name]:
            raise UnreadableCheckpoint(f"{name} has changed on disk (CRC mismatch)")
    return StoredStep(leaves, record["metadata"], sorted(record["leaves"]))


def _read_record(path: Path, shape: Any) -> Any:
    try:
        record = records.read(path, shape, way_on="")
    except records.DamagedRecordError as error:
        raise UnreadableCheckpoint(f"{path.name}: {error.__cause__}") from error
    if record["crc32"] != _record_crc(record):
        raise UnreadableCheckpoint(f"{path.name} has changed (CRC mismatch)")
    return record


def _read_arrays(
    path: Path, fingerprints: Mapping[str, list[Any]]
) -> dict[str, np.ndarray]:
    # Names and shapes are of the record: no template is needed, and arrays come back
    # as NumPy, whatever devices wrote them.
    shapes = {
        name: jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype))
        for name, (dtype, shape, _) in fingerprints.items()
    }
    item = unflatten_dict(shapes, sep="/")
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
    options = ocp.args.PyTreeRestore(
        item=item, restore_args=as_numpy, partial_restore=True
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
    # The checkpointer's would warn of a file that is not written here.
    described: Any = handler.metadata(path)  # pyright: ignore[reportArgumentType]
    stored = jax.tree_util.tree_flatten_with_path(described.tree)[0]
    found = {_name(keys): tuple(leaf.shape) for keys, leaf in stored}
    for name, leaf in shapes.items():  # missing chunks would read as 0
        if found.get(name) != leaf.shape:
            raise UnreadableCheckpoint(
                f"{name} is of shape {found.get(name)} on disk, not {leaf.shape}"
            )
    with ocp.Checkpointer(handler, multiprocessing_options=_alone()) as reader:
        tree = reader.restore(path, args=options)
    return {name: np.asarray(x) for name, x in flatten_dict(tree, sep="/").items()}


def _stored_files(path: Path) -> dict[str, int]:
    """Name and size of every file of a checkpoint; nothing else is ever read.

    Raises UnreadableCheckpoint for irregular files and links that lead elsewhere.
    """
    found: dict[str, int] = {}
    for folder, folders, names in os.walk(path):
        linked = [name for name in folders if os.path.islink(f"{folder}/{name}")]
        for each in [*linked, *names]:
            file = Path(folder, each)
            name = file.relative_to(path).as_posix()
            try:
                with records.open_file(file, inside=path) as opened:
                    found[name] = os.fstat(opened.fileno()).st_size
            except ValueError as error:
                raise UnreadableCheckpoint(f"{name} is {error}") from error
            if found[name] > _MAX_INDEX_BYTES and file.parent.name != "d":
                raise UnreadableCheckpoint(f"{name} has {found[name]} bytes")
        if len(found) > _MAX_FILES:
            raise UnreadableCheckpoint(f"it has over {_MAX_FILES} files")
    return found


def _check_described(fingerprints: Mapping[str, list[Any]], stored: int) -> None:
    """Raises unless names are valid and the arrays can come from `stored` bytes.

    Much smaller files unpack to zeros; much larger ones are read for checksums only.
    """
    total = 0
    for name, (dtype, shape, _) in fingerprints.items():
        sizes_right = all(type(n) is int and 0 < n < 1 << 32 for n in shape)
        if not _LEAF_NAME.fullmatch(name) or not sizes_right or len(shape) > 8:
            raise UnreadableCheckpoint(
                f"an array {ascii(name)[:60]} of shape {shape[:8]}"
            )
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise UnreadableCheckpoint(f"an array {name} of {kind}")
        total += math.prod(shape) * kind.itemsize
    if total > min(MAX_STATE_BYTES, _MAX_RATIO * stored + _FREE_BYTES):
        raise UnreadableCheckpoint(f"it claims {total} bytes of arrays in {stored}")
    if stored > 2 * total + _FREE_BYTES:
        raise UnreadableCheckpoint(f"its files have {stored} bytes, its arrays {total}")
