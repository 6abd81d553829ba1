"""Files of directions: `.safetensors` of several, `.npy` of one; neither can run code.

A `.safetensors` has one float64 array per direction, under its name, and in the
header's `__metadata__` one entry, `stylegan_jax`, whose text is JSON:

    {"format": "stylegan_jax directions", "version": 1,
     "directions": [{"name": "smile", "space": "w", "layers": null, "intercept": 0.1,
                     "std": 1.3, "provenance": "..."}, ...]}

Boundaries of genforce/interfacegan,
`MODEL_ATTRIBUTE[_c_CONDITION...][_w]_boundary.npy`, hold `[1, D]`; without `_w` they
are in z. Other `.npy` files, `[D]`, `[1, D]`, `[L, D]` or `[1, L, D]`, are named by the
file; those with layers are in w.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from stylegan_jax import loading
from stylegan_jax.editing.directions import Direction, Space
from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, records
from stylegan_jax.io.atomic import atomic_write

FORMAT = "stylegan_jax directions"
VERSION = 1

_KEY = "stylegan_jax"
_MAX_BYTES = 256 << 20  # thousands of directions of 18 layers
_FIELDS: dict[str, Any] = {  # shapes as of `records.check`
    "name": str,
    "space": str,
    "layers": object,
    "intercept": float,
    "std": (float, type(None)),
    "provenance": str,
}
_SHAPE = {"format": str, "version": int, "directions": [_FIELDS]}


def beside(network: str | Path) -> Path | None:
    """The file of directions beside a network, or None; as `loading.beside`."""
    return loading.beside(network, "directions")


def directions_of(network: str | Path) -> dict[str, Direction]:
    """The directions beside a network by name; UserError if there are none."""
    path = beside(network)
    if path is None:
        raise UserError(
            f"no directions lie beside {network}; python -m stylegan_jax.directions "
            "finds them, and load_directions reads a file of them"
        )
    return {direction.name: direction for direction in load_directions(path)}


def save_directions(path: str | Path, directions: Sequence[Direction]) -> None:
    """Writes directions to a `.safetensors` file; atomically."""
    names = [direction.name for direction in directions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"two directions {twice[0]!r}" if twice else "no directions"
        raise UserError(f"{path}: {what} to write; each needs a name of its own")
    records = [{field: getattr(d, field) for field in _FIELDS} for d in directions]
    metadata = {"format": FORMAT, "version": VERSION, "directions": records}
    vectors = {d.name: np.ascontiguousarray(d.vector) for d in directions}
    data = safetensors.numpy.save(vectors, {_KEY: json.dumps(metadata)})
    atomic_write(path, data)


def load_directions(
    path: str | Path, *, space: Space | None = None
) -> tuple[Direction, ...]:
    """The directions of a `.safetensors`, of a `.npy`, or of all `.npy` in a folder.

    `space` is that of `.npy` files whose names do not say it. UserError for no such
    file, another kind, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give a .safetensors or a .npy")
    if path.is_dir():
        found = sorted(path.glob("*.npy"))
        if not found:
            raise UserError(f"{path} has no .npy files; name a file of directions")
        return tuple(read_boundary(file, space=space) for file in found)
    if path.suffix == ".npy":
        return (read_boundary(path, space=space),)
    return _load_safetensors(path)


def read_boundary(path: str | Path, *, space: Space | None = None) -> Direction:
    """One direction of a `.npy`, without pickles; `space` where its name has none."""
    path = Path(path)
    name, own_space = parse_boundary_name(path.stem)
    try:
        vector = array_files.read_npy(path, max_bytes=_MAX_BYTES)
    except (OSError, ValueError) as error:
        detail = str(error).splitlines()[0][:100]
        raise UserError(f"{path} is not a NumPy array of numbers ({detail})") from None
    if vector.ndim > 1 and vector.shape[0] == 1:
        vector = vector[0]
    if vector.ndim not in (1, 2) or vector.dtype.kind != "f":
        raise UserError(
            f"{path} has {vector.dtype} of shape {vector.shape}; a direction is [D], "
            "[1, D], [L, D] or [1, L, D], floating-point"
        )
    if vector.ndim == 2:
        own_space = "w"
    if space and own_space and space != own_space:
        raise UserError(f"{path} is in {own_space}, by its name and shape, not {space}")
    chosen = space or own_space
    if chosen is None:
        raise UserError(
            f"{path}: neither name nor shape say whether it is in w or z; call it "
            "MODEL_ATTRIBUTE_w_boundary.npy, or give `space` w or `space` z"
        )
    return Direction(name=name, vector=vector, space=chosen, provenance=path.name)


def parse_boundary_name(stem: str) -> tuple[str, Space | None]:
    """Name and space in the stem of a boundary's file.

    `stylegan_ffhq_age_c_gender_w_boundary` is ("age_c_gender", "w"); names of another
    form are returned as they are, with None.
    """
    words = stem.split("_")
    if words[-1] != "boundary":
        return stem, None
    space: Space = "w" if words[-2:-1] == ["w"] else "z"
    words = words[: -2 if space == "w" else -1]
    kept = words.index("c") if "c" in words else len(words)
    if kept < 2 or kept == len(words) - 1:  # no model before the attribute, or no end
        return stem, None
    return "_".join(words[kept - 1 :]), space


def _load_safetensors(path: Path) -> tuple[Direction, ...]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError("it is too large for a file of directions")
        vectors, metadata = array_files.read_safetensors(path)
        text = metadata.get(_KEY)
        if text is None:
            raise UserError("python -m stylegan_jax.directions writes such files")
        found = records.parse(text)
        records.check(found, _SHAPE)
        if (found["format"], found["version"]) != (FORMAT, VERSION):
            raise UserError(
                f"{ascii(found['format'])[:40]} in version {found['version']}; this "
                f"program reads version {VERSION}: update stylegan_jax"
            )
        described = found["directions"]
        if sorted(record["name"] for record in described) != sorted(vectors):
            raise UserError("its arrays are not those that it describes")
        if not described:
            raise UserError("no directions in it")
        return tuple(_direction(each, vectors[each["name"]]) for each in described)
    except ValueError as error:
        raise UserError(
            f"{path} is not a file of directions, or is damaged: {error}"
        ) from None


def _direction(record: dict[str, Any], vector: np.ndarray) -> Direction:
    layers = record["layers"]
    if layers is not None:
        records.check(layers, [int], "layers")
        layers = tuple(layers)
    if vector.dtype.kind != "f":
        raise UserError(f"{record['name']!r} holds {vector.dtype}, not floats")
    fields = {name: record[name] for name in _FIELDS}
    return Direction(**fields | {"vector": vector, "layers": layers})
