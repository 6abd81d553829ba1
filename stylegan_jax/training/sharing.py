"""A checkpoint that process 0 has read, given to all processes.

Only process 0 needs the run directory. The others get the arrays over the network,
byte by byte: a sum of floats, as collectives are made of, would lose the sign of zero.
"""

from __future__ import annotations

import json

import jax
import numpy as np

from stylegan_jax import processes
from stylegan_jax.training.stored import StoredStep


def share_step(found: tuple[int, StoredStep] | None) -> tuple[int, StoredStep] | None:
    """Gives every process what process 0 passes: image count and contents, or None.

    Every process must call it; what the others pass is ignored.
    """
    if jax.process_count() == 1:
        return found
    header, arrays = None, []
    if found is not None:
        nimg, step = found
        header = {
            "nimg": nimg,
            "metadata": step.metadata,
            "names": step.names,
            "leaves": [(n, str(x.dtype), x.shape) for n, x in step.leaves.items()],
        }
        arrays = list(step.leaves.values())
    header = json.loads(processes.broadcast(json.dumps(header).encode()))
    if header is None:
        return None
    content = processes.broadcast(b"".join(array.tobytes() for array in arrays))
    leaves, start = {}, 0
    for name, dtype, shape in header["leaves"]:
        flat = np.frombuffer(content, dtype, int(np.prod(shape)), start)
        leaves[name] = flat.reshape(shape)
        start += flat.nbytes
    step = StoredStep(leaves, header["metadata"], header["names"])
    return header["nimg"], step
