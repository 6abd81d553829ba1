"""Files of classifiers: `.safetensors`, nothing in which is executed.

The arrays are those of `classifier_network`, the heads side by side. The header's
`__metadata__` has one entry, `stylegan_jax`, whose text is JSON:

    {"format": "stylegan_jax classifiers", "version": 1,
     "resolution": 32, "channels": 3,
     "heads": [{"name": "smile", "num_classes": 2, "accuracy": 0.93}, ...],
     "source": "portraits"}
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from stylegan_jax.classifiers import classifier_network
from stylegan_jax.classifiers.classifier import Classifier, split_heads
from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.io import array_files, records
from stylegan_jax.io.atomic import atomic_write

FORMAT = "stylegan_jax classifiers"
VERSION = 1

_KEY = "stylegan_jax"
_MAX_SIZE = 1 << 14  # bound on resolution, heads and classes


def save(
    path: str | os.PathLike[str],
    classifiers: Mapping[str, Classifier],
    *,
    source: str = "",
) -> None:
    """Writes classifiers of one network by name, atomically; `source` is the data."""
    parts = list(classifiers.values())
    params = [part.params for part in parts]
    common = [name for name in params[0] if not name.startswith("heads.")]
    if any(one[name] is not params[0][name] for one in params for name in common):
        raise UserError(
            f"classifiers of {', '.join(classifiers)} are several networks; a file "
            "holds one: train them together, with train_heads"
        )
    whole = dict(params[0]) | {
        name: jnp.concatenate([one[name] for one in params], axis=-1)
        for name in ("heads.weight", "heads.bias")
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "resolution": parts[0].resolution,
        "channels": parts[0].channels,
        "heads": [
            {"name": name, "num_classes": one.num_classes, "accuracy": one.accuracy}
            for name, one in classifiers.items()
        ],
        "source": source,
    }
    arrays = {name: np.ascontiguousarray(x, np.float32) for name, x in whole.items()}
    data = safetensors.numpy.save(arrays, {_KEY: json.dumps(metadata)})
    atomic_write(Path(path), data)


def load(path: str | os.PathLike[str]) -> dict[str, Classifier]:
    """Classifiers of a file of `save`; raises UserError if damaged or newer."""
    metadata = _metadata(Path(path))
    if metadata is None:
        raise UserError(
            f"{path} is not a file of classifiers; python -m stylegan_jax.evaluate "
            "with `metrics` ls and `classifiers` FILE writes one"
        )
    try:
        names = [str(head["name"]) for head in metadata["heads"]]
        accuracies = [float(head["accuracy"]) for head in metadata["heads"]]
        sizes = [_size(int(head["num_classes"])) for head in metadata["heads"]]
        resolution, channels = (
            _size(metadata["resolution"]),
            _size(metadata["channels"]),
        )
        outputs = sum(sizes[: _size(len(sizes))])
        table = classifier_network.shapes(resolution, channels, outputs)
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
    heads = zip(split_heads(params, sizes), sizes, accuracies, strict=True)
    found = [Classifier(*head, resolution) for head in heads]
    return dict(zip(names, found, strict=True))


def is_classifier_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file's header is that of classifiers."""
    return _metadata(Path(path)) is not None


def _metadata(path: Path) -> dict[str, Any] | None:
    """Metadata, None of other files; raises UserError if newer."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        header = array_files.read_safetensors_header(path)
        found = records.read_json(header.get(_KEY, "null").encode())
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


def _size(number: Any) -> int:
    if type(number) is not int or not 1 <= number <= _MAX_SIZE:
        raise UserError(f"{ascii(number)[:20]} is not 1 to {_MAX_SIZE}")
    return number
