"""A checkpoint that process 0 has read, given to all processes.

Only process 0 needs the run directory. The others get the arrays over the network,
byte by byte: a sum of floats, as collectives are made of, would lose the sign of zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from stylegan_jax.distributed import processes
from stylegan_jax.errors import UserError
from stylegan_jax.runs import stored
from stylegan_jax.runs.retention import Scores
from stylegan_jax.runs.stored import StoredStep

# Of augmentation: a run may begin and end with it.
_CONTROLLER = "augment/"


class Found(NamedTuple):
    """What process 0 has read."""

    nimg: int
    step: StoredStep
    scores: Scores


def share_step(found: Found | None) -> Found | None:
    """Gives every process what process 0 passes.

    Every process must call it; what the others pass is ignored.
    """
    if jax.process_count() == 1:
        return found
    header, arrays = None, []
    if found is not None:
        header = {
            "nimg": found.nimg,
            "metadata": found.step.metadata,
            "names": found.step.names,
            "scores": found.scores,
            "leaves": [
                (name, str(array.dtype), array.shape)
                for name, array in found.step.leaves.items()
            ],
        }
        arrays = list(found.step.leaves.values())
    header = json.loads(processes.broadcast(json.dumps(header).encode()))
    if header is None:
        return None
    content = processes.broadcast(b"".join(array.tobytes() for array in arrays))
    leaves, start = {}, 0
    for name, dtype, shape in header["leaves"]:
        flat = np.frombuffer(content, np.dtype(dtype), math.prod(shape), start)
        leaves[name] = flat.reshape(shape)
        start += flat.nbytes
    step = StoredStep(leaves, header["metadata"], header["names"])
    return Found(header["nimg"], step, header["scores"])


def place(leaves: Mapping[str, np.ndarray], template: Any, path: Path) -> Any:
    """The template's structure and shardings with the leaves' values.

    Args:
        leaves: by name, as `stored.named_leaves` names them.
        template: a tree of arrays or their shapes, with shardings or without.
        path: where they come from, for messages.

    Raises:
        UserError: the two are of different models or optimizers.
    """
    named = stored.named_leaves(template)
    differences = list(_differences(leaves, named))
    if differences:
        more = f"; and {len(differences) - 8} more" if len(differences) > 8 else ""
        raise UserError(
            f"{path} is intact but belongs to another model or optimiser"
            f" ({'; '.join(differences[:8])}{more}); use its own configuration or a"
            " new `workdir`"
        )

    def put(name: str, like: Any) -> jax.Array:
        # Zeros: empty arrays, and a controller of augmentation that begins here.
        value = leaves.get(name, np.zeros(like.shape, like.dtype))
        sharding = getattr(like, "sharding", None)
        if sharding is None:
            return jax.device_put(value)
        return jax.make_array_from_callback(
            value.shape, sharding, lambda index: value[index]
        )

    values = [put(name, like) for name, like in named.items()]
    return jax.tree.unflatten(jax.tree.structure(template), values)


def _differences(
    leaves: Mapping[str, np.ndarray], named: Mapping[str, Any]
) -> Iterable[str]:
    for name, like in named.items():
        if name not in leaves:
            if np.prod(like.shape) and not name.startswith(_CONTROLLER):
                yield f"{name} is missing"
            continue
        value = leaves[name]
        if value.shape != tuple(like.shape) or value.dtype != like.dtype:
            yield (
                f"{name} is {value.dtype}{list(value.shape)}, not"
                f" {like.dtype}{list(like.shape)}"
            )
    for name in leaves:
        if name not in named and not name.startswith(_CONTROLLER):
            yield f"{name} is not expected"
