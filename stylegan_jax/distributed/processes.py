"""Jobs of several processes: joining, barriers, broadcasts and consensus."""

from __future__ import annotations

import collections
import itertools
import json
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from stylegan_jax.errors import AgreedError, UserError

# JAX ends all processes if one sends no heartbeat for so long.
HEARTBEAT_SECONDS = 30
_DAY_MS = 86_400_000  # lost processes are left to JAX and the watchdog
_CHUNKS = (2**16, 2**24)  # bytes sent at once in `broadcast`: few shapes to compile
_meetings = itertools.count()  # calls of `meet`: the same order in all processes


def join(
    *,
    coordinator: str = "",
    num_processes: int | None = None,
    process_id: int | None = None,
    detect: bool = False,
) -> None:
    """Joins the job; to be called before anything touches a device.

    `coordinator` is `HOST:PORT` of process 0, reachable from the others; `detect` lets
    JAX detect them: TPU pods, SLURM, Open MPI, Kubernetes. Raises UserError for
    incomplete arguments, nothing detected, or no connection.
    """
    given = (bool(coordinator), num_processes is not None, process_id is not None)
    if not any(given) and not detect:
        return
    if not all(given) and not detect:
        raise UserError(
            "`coordinator` HOST:PORT, `num_processes` and `process_id` go together; "
            "`distributed` auto finds them on TPU pods, SLURM and Kubernetes"
        )
    if coordinator and not coordinator.rpartition(":")[2].isdigit():
        raise UserError(f"`coordinator` {coordinator} is not HOST:PORT")
    # JAX would take SIGTERM for itself; the training loop saves on it (interrupt.py).
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator or None,
            num_processes,
            process_id,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            # Process 0 may still be writing the last checkpoint.
            shutdown_timeout_seconds=1800,
            # With all three given nothing is detected, devices included.
            cluster_detection_method="deactivate" if all(given) else None,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        if "should be defined" in str(error):
            raise UserError(
                "`distributed` auto found no TPU pod, SLURM, Open MPI or Kubernetes; "
                "give `coordinator` HOST:PORT, `num_processes` and `process_id`"
            ) from error
        raise UserError(f"cannot join the other processes: {error}") from error


def meet() -> None:
    """Barrier on the host: waits until every process has come to the same call.

    The first collective among some devices connects them, and fails if a process is
    half a minute late, for instance by compiling or reading longer.
    """
    key = f"stylegan_jax_{next(_meetings)}"
    multihost.get_barrier_sync_fn()(key=key, timeout_ms=_DAY_MS)


def largest(number: int) -> int:
    """Maximum over the processes of numbers from 0 to 2^32 - 1; a barrier."""
    meet()
    return int(np.max(multihost_utils.process_allgather(np.uint32(number))))


def broadcast(content: bytes | None) -> bytes:
    """Process 0's bytes, in every process; collective, others' `content` is ignored."""
    if jax.process_count() == 1:
        assert content is not None
        return content
    meet()
    own = np.frombuffer(content or b"", np.uint8)
    # In two halves: JAX has integers of 32 bits.
    parts = np.array(divmod(len(own), 2**31), np.uint32)
    high, low = map(int, multihost_utils.broadcast_one_to_all(parts))
    size = high * 2**31 + low
    chunk = _CHUNKS[size > _CHUNKS[0]]
    received = bytearray()
    for start in range(0, size, chunk):
        sent = np.zeros(chunk, np.uint8)
        part = own[start : start + chunk]
        sent[: len(part)] = part
        received += multihost_utils.broadcast_one_to_all(sent).tobytes()
    return bytes(received[:size])


def require_same(what: str, value: Any) -> None:
    """Raises AgreedError unless a JSON value is the same in every process."""
    if jax.process_count() == 1:
        return
    crc = zlib.crc32(json.dumps(value, sort_keys=True).encode())
    meet()
    crcs = multihost_utils.process_allgather(np.uint32(crc))
    different = [i for i, other in enumerate(crcs) if other != crcs[0]]
    if different:
        raise AgreedError(
            f"{what} differ between process 0 and {', '.join(map(str, different))} of "
            f"{len(crcs)}; start all with the same command, code and data"
        )


class Ballot:
    """Maximum of a number over all processes, without waiting for the device.

    With several processes, `cast` returns the maximum of two calls before, whose
    all-reduce has ended by then; all get the same in the same call.
    """

    _LAG = 2

    def __init__(self, mesh: Mesh) -> None:
        """Compiles nothing yet."""
        self._mesh = mesh
        self._sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._largest = jax.jit(jnp.max, out_shardings=everywhere)
        self._cast: collections.deque[Array] = collections.deque()

    def cast(self, number: int) -> int:
        """Submits a number, at least 0; returns the agreed one."""
        if jax.process_count() == 1:
            return number
        local = sum(d.process_index == jax.process_index() for d in self._mesh.devices)
        flags = jax.make_array_from_process_local_data(
            self._sharding, np.full(local, number, np.int32), (self._mesh.size,)
        )
        self._cast.append(self._largest(flags))
        if len(self._cast) <= self._LAG:
            return 0
        return int(self._cast.popleft())
