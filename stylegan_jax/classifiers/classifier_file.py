"""Files of classifiers: `.safetensors`, nothing in which is executed.

The arrays are those of `classifier`, the heads side by side. The header's
`__metadata__` has one entry, `stylegan_jax`, whose text is JSON:

    {"format": "stylegan_jax classifiers", "version": 1,
     "resolution": 32, "channels": 3,
     "heads": [{"name": "smile", "num_classes": 2, "accuracy": 0.93}, ...],
     "source": "portraits", "licence": ""}
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from stylegan_jax.classifiers.classifier import HEADS, Classifier, shapes, split_heads
from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.io import array_files, records
from stylegan_jax.io.atomic import atomic_write

FORMAT = "stylegan_jax classifiers"
VERSION = 1

_KEY = "stylegan_jax"
_MAX_SIZE = 1 << 14  # bound on resolution, channels, heads and classes
_HEAD = {"name": str, "num_classes": int, "accuracy": float}
_SHAPE = {"resolution": int, "channels": int, "heads": [_HEAD]}


def save(
    path: str | os.PathLike[str],
    classifiers: Mapping[str, Classifier],
    *,
    source: str = "",
    licence: str = "",
    dtype: type[np.floating] = np.float32,
) -> None:
    """Writes classifiers of one network by name, atomically; `source` is the data."""
    params = [one.params for one in classifiers.values()]
    common = params[0].keys() - {*HEADS}
    if any(one[name] is not params[0][name] for one in params for name in common):
        raise UserError(
            f"classifiers of {', '.join(classifiers)} are several networks; a file "
            "holds one: train them together, with train_heads"
        )
    heads = {name: jnp.concatenate([x[name] for x in params], -1) for name in HEADS}
    first = next(iter(classifiers.values()))
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "resolution": first.resolution,
        "channels": first.channels,
        "heads": [
            {"name": name, "num_classes": one.num_classes, "accuracy": one.accuracy}
            for name, one in classifiers.items()
        ],
        "source": source,
        "licence": licence,
    }
    arrays = {
        name: np.ascontiguousarray(x, dtype)
        for name, x in {**params[0], **heads}.items()
    }
    data = safetensors.numpy.save(arrays, {_KEY: json.dumps(metadata)})
    atomic_write(Path(path), data)


def load(path: str | os.PathLike[str]) -> dict[str, Classifier]:
    """Classifiers of a file of `save`; raises UserError if damaged or newer."""
    metadata: Any = None
    with contextlib.suppress(OSError, ValueError):
        header = array_files.read_safetensors_header(path)
        metadata = records.read_json(header.get(_KEY, "null").encode())
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a file of classifiers; python -m stylegan_jax.evaluate "
            "with `metrics` ls and `classifiers` FILE writes one"
        )
    if metadata.get("version") != VERSION:
        raise UserError(
            f"{path} is of version {ascii(metadata.get('version'))[:20]} of its "
            f"format, and this program reads {VERSION}; update stylegan_jax"
        )
    try:
        records.check(metadata, _SHAPE)
        resolution, channels = metadata["resolution"], metadata["channels"]
        sizes = [head["num_classes"] for head in metadata["heads"]]
        for size in (resolution, channels, len(sizes), *sizes):
            if not 1 <= size <= _MAX_SIZE:
                raise UserError(f"{size} is not 1 to {_MAX_SIZE}")
        table = shapes(resolution, channels, sum(sizes))
    except UserError as error:
        raise UserError(
            f"{path} describes no possible classifiers ({error}); train them again"
        ) from error
    arrays = weights.read(path)
    weights.check(arrays, table, f"{path} does not hold the arrays it describes:")
    params = {name: jnp.asarray(array) for name, array in arrays.items()}
    names = [head["name"] for head in metadata["heads"]]
    accuracies = [float(head["accuracy"]) for head in metadata["heads"]]
    heads = split_heads(params, sizes, accuracies, resolution)
    return dict(zip(names, heads, strict=True))
