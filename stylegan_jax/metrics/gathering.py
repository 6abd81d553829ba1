"""The same values in every process."""

import json
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

from stylegan_jax.errors import UserError

_HEADER = 4096  # bytes for names, types and shapes


def from_first(arrays: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """What process 0 holds, in every process; all of them must call this.

    Bytes travel, so that float64 stays what it is.

    Args:
        arrays: a few by name; looked at in process 0 only.

    Raises:
        UserError: the names are too long.
    """
    arrays = arrays or {}
    if jax.process_count() == 1:
        return dict(arrays)
    first = jax.process_index() == 0
    arrays = {name: np.asarray(x) for name, x in arrays.items()}
    described = {name: [x.dtype.str, x.shape] for name, x in arrays.items()}
    text = json.dumps(described if first else {}).encode()
    if len(text) > _HEADER:
        raise UserError(f"{len(text)} bytes describe the arrays; {_HEADER} are sent")
    header = _broadcast(np.frombuffer(text.ljust(_HEADER), np.uint8))
    found = {}
    for name, (dtype, shape) in json.loads(header.tobytes()).items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        empty = np.zeros(size, np.uint8)
        own = np.frombuffer(arrays[name].tobytes(), np.uint8) if first else empty
        found[name] = np.frombuffer(_broadcast(own).tobytes(), dtype).reshape(shape)
    return found


def _broadcast(data: np.ndarray) -> np.ndarray:
    return np.asarray(multihost_utils.broadcast_one_to_all(data))
