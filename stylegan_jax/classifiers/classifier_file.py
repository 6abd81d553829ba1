"""Trained classifiers in one file: `.safetensors`, nothing in which can run.

The arrays are those of `classifier_network`, the heads side by side. The header's
`__metadata__` has one entry, `stylegan_jax`, whose text is JSON:

    {"format": "stylegan_jax classifiers", "version": 1,
     "resolution": 32, "channels": 3,
     "heads": [{"name": "smile", "num_classes": 2, "accuracy": 0.93}, ...],
     "source": "portraits"}
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax import Array

from stylegan_jax.classifiers import classifier_network
from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.io import array_files
from stylegan_jax.io.atomic import atomic_write

FORMAT = "stylegan_jax classifiers"
VERSION = 1

_KEY = "stylegan_jax"
_MAX_SIZE = 1 << 14  # of resolution, heads and classes; nothing real comes near


@dataclasses.dataclass(frozen=True)
class Head:
    """One of the questions that a network answers.

    Attributes:
        name: such as "smile".
        num_classes: of its answers.
        accuracy: on images that it was not trained on, 0 to 1.
    """

    name: str
    num_classes: int
    accuracy: float


@dataclasses.dataclass(frozen=True, eq=False)
class StoredClassifiers:
    """A trained network and what is known of it.

    Attributes:
        params: of `classifier_network`, the heads' logits in order.
        heads: what they answer.
        resolution: of the images it was trained on, in pixels.
        channels: of the images.
        source: name of the data.
    """

    params: Mapping[str, Array]
    heads: tuple[Head, ...]
    resolution: int
    channels: int
    source: str = ""


def save(path: str | os.PathLike[str], stored: StoredClassifiers) -> None:
    """Writes the file, atomically; its name should end in `.safetensors`."""
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "resolution": stored.resolution,
        "channels": stored.channels,
        "heads": [dataclasses.asdict(head) for head in stored.heads],
        "source": stored.source,
    }
    arrays = {
        name: np.ascontiguousarray(array, np.float32)
        for name, array in stored.params.items()
    }
    data = safetensors.numpy.save(arrays, {_KEY: json.dumps(metadata)})
    atomic_write(Path(path), data)


def load(path: str | os.PathLike[str]) -> StoredClassifiers:
    """Reads what `save` wrote.

    Raises:
        UserError: there is no such file, or it is another, damaged or newer.
    """
    metadata = _metadata(Path(path))
    if metadata is None:
        raise UserError(
            f"{path} is not a file of classifiers; python -m stylegan_jax.evaluate "
            "with `metrics` ls and `classifiers` FILE writes one"
        )
    try:
        stored = _described(metadata)
        outputs = sum(head.num_classes for head in stored.heads)
        table = classifier_network.shapes(stored.resolution, stored.channels, outputs)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} describes no possible classifiers ({error}); train them again"
        ) from error
    arrays = weights.read(path)
    wrong = [name for name in table if np.shape(arrays.get(name, 0)) != table[name]]
    if wrong or arrays.keys() != table.keys():
        name = wrong[0] if wrong else min(arrays.keys() - table.keys())
        raise UserError(
            f"{path} does not hold the arrays it describes ({name}); train them again"
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{path} holds values that are not finite; train them again")
    params = {n: jnp.asarray(array, jnp.float32) for n, array in arrays.items()}
    return dataclasses.replace(stored, params=params)


def is_classifier_file(path: str | os.PathLike[str]) -> bool:
    """Says from a file's header whether `load` should be tried."""
    return _metadata(Path(path)) is not None


def _metadata(path: Path) -> dict[str, Any] | None:
    """The file's own description; None of other files.

    Raises:
        UserError: there is no such file, or of a later version.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        header = array_files.read_safetensors_header(path)
        found = array_files.read_json(header.get(_KEY, "null").encode())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    if found.get("version") != VERSION:
        raise UserError(
            f"{path} is of version {ascii(found.get('version'))[:20]} of its format, "
            f"and this program reads {VERSION}; update stylegan_jax"
        )
    return found


def _described(metadata: Mapping[str, Any]) -> StoredClassifiers:
    heads = tuple(
        Head(str(head["name"]), int(head["num_classes"]), float(head["accuracy"]))
        for head in metadata["heads"]
    )
    sizes = (metadata["resolution"], metadata["channels"], len(heads))
    for number in (*sizes, *(head.num_classes for head in heads)):
        if type(number) is not int or not 1 <= number <= _MAX_SIZE:
            raise UserError(f"{ascii(number)[:20]} is not 1 to {_MAX_SIZE}")
    return StoredClassifiers({}, heads, *sizes[:2], str(metadata["source"]))
