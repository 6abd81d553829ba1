"""Several processes of one job: joining, agreeing, and leaving word for each other.

All of it does nothing, or answers at once, where there is one process only.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import time
import zlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.errors import AgreedError, UserError

# JAX ends all processes when it has not heard of one for so long, with a stack trace.
# It hears of each twice in that time, so this may come after half of it; our own
# messages, which name the cause, are to come sooner (distributed/peers.py).
HEARTBEAT_SECONDS = 100
_CHUNK = 2**24  # bytes sent at once in `broadcast`
# Of calls of `meet`, which all processes make in the same order.
_meetings = itertools.count()


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFlags:
    """Flags of commands that several processes can run together."""

    # Several processes, each started with this command: auto finds the others on TPU
    # pods, under SLURM or Open MPI and in Kubernetes; elsewhere give the three below.
    distributed: Literal["no", "auto"] = "no"
    coordinator: str = ""  # HOST:PORT of process 0, any free port
    num_processes: int | None = None
    process_id: int | None = None  # of this process, from 0

    def join(self) -> None:
        """Joins the job, if there is one; see the function `join`."""
        join(
            coordinator=self.coordinator,
            num_processes=self.num_processes,
            process_id=self.process_id,
            detect=self.distributed == "auto",
        )


def join(
    *,
    coordinator: str = "",
    num_processes: int | None = None,
    process_id: int | None = None,
    detect: bool = False,
) -> None:
    """Joins the job, before anything else touches a device.

    Args:
        coordinator: `HOST:PORT` of process 0, which the others can reach.
        num_processes: of the job.
        process_id: of this one, from 0.
        detect: let JAX find out what is not given: on TPU pods, under SLURM and
            Open MPI, and in Kubernetes.

    Raises:
        UserError: the three do not go together, nothing was detected, or the others
            cannot be reached.
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
            # With all three given nothing is to be found out, devices included.
            cluster_detection_method="deactivate" if all(given) else None,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        if "should be defined" in str(error):
            raise UserError(
                "`distributed` auto found no TPU pod, SLURM, Open MPI or Kubernetes; "
                "give `coordinator` HOST:PORT, `num_processes` and `process_id`"
            ) from error
        raise UserError(f"cannot join the other processes: {error}") from error


def meet(
    ready: Callable[[], bool] = lambda: True, number: Callable[[], int] = lambda: 0
) -> int:
    """Waits, on the host, until every process has come to the same call and is ready.

    The first collective among some devices makes connections, and gives up when a
    process comes half a minute late: as one does that compiles or reads longer.

    Args:
        ready: whether this process is.
        number: once it is not 0 in one process, none waits until it is ready.

    Returns:
        The largest number of all processes, the same in each.
    """
    board, name = Board(), f"met{next(_meetings)}/"
    own, said, pause = None, {}, 0.01
    while own is None or len(said) < jax.process_count():
        if own is None and (number() or ready() or any(said.values())):
            own = number()
            board.post(f"{name}{jax.process_index()}", own)
            if jax.process_count() == 1:
                return own
        else:
            time.sleep(pause)  # a process that never comes is the watchdog's business
            pause = min(2 * pause, 0.5)
        said = board.read(name)
    return max(said.values())


def broadcast(content: bytes | None) -> bytes:
    """Gives process 0's bytes to all; the others' own are ignored.

    Every process must call it at the same point.
    """
    if jax.process_count() == 1:
        assert content is not None
        return content
    meet()
    own = np.frombuffer(content or b"", np.uint8)
    parts = divmod(len(own), 2**31)
    high, low = multihost_utils.broadcast_one_to_all(np.array(parts, np.uint32))
    size = int(high) * 2**31 + int(low)
    received = np.empty(size, np.uint8)
    # One shape, or few: each has to be compiled.
    chunk = min(_CHUNK, 2 ** max(10, (size - 1).bit_length()))
    for start in range(0, size, chunk):
        sent = np.zeros(chunk, np.uint8)
        part = own[start : start + chunk]
        sent[: len(part)] = part
        got = multihost_utils.broadcast_one_to_all(sent)
        received[start : start + chunk] = got[: size - start]
    return received.tobytes()


def require_same(what: str, value: Any) -> None:
    """Checks that a JSON value is the same in every process.

    Raises:
        AgreedError: it is not.
    """
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
    """The largest number that any process says, without waiting for the device.

    With several processes, what `cast` returns was said two calls before, so that
    its all-reduce has ended by then; every process gets the same in the same call.
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
        """Says a number, at least 0; returns what is agreed."""
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


class Board:
    """Notes that every process can read, kept by process 0.

    Calls may take long, or raise, when process 0 does not answer: make them from a
    thread.
    """

    _PREFIX = "stylegan_jax/"

    def __init__(self) -> None:
        """Finds the job's store; there is none with one process."""
        # The store of JAX's own coordination service, which Orbax uses likewise.
        from jax._src import distributed

        self._client = distributed.global_state.client

    def post(self, name: str, note: Any) -> None:
        """Puts a JSON value up, in place of an older one."""
        if self._client is not None:
            text = json.dumps(note)
            self._client.key_value_set(self._PREFIX + name, text, allow_overwrite=True)

    def read(self, beginning: str = "") -> dict[str, Any]:
        """The notes whose name begins so, by name; all by default."""
        if self._client is None:
            return {}
        found = self._client.key_value_dir_get(self._PREFIX + beginning)
        return {key.removeprefix(self._PREFIX): json.loads(text) for key, text in found}
