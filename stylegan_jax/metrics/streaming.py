"""Evaluation of a function of many samples over the devices of all processes.

A sample's randomness depends on seed and index alone (`draws.py`), and each device
program has a fixed number of samples. So results do not depend on devices, processes
or batch size, and resuming is bitwise.
"""

import collections
import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.store import Rows, Store

# Samples per device program. Fixed, since the order of additions shows in the fifth
# digit of path lengths, which divide rounding by 1e-4.
TOGETHER = 4
# Samples yielded at once on any devices, for a fixed order of sums; a multiple of
# TOGETHER.
CHUNK = 512
# Calls in flight between processes; with many more, XLA's CPU backend can run out of
# threads.
_CALLS = 8


def stream(
    compute: Callable[[Any, Array], Any],
    networks: Any,
    count: int,
    *,
    store: Store | None = None,
    key: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> list[np.ndarray]:
    """Leaves `[count, ...]` of the results of all samples, by `chunks`.

    Resumed from those of this `key` in the `store`; see `Store.accumulate`.
    """
    chunks_from = functools.partial(chunks, compute, networks, count, **options)
    store = store or Store(enabled=False)
    rows = store.accumulate(key, Rows, lambda i: chunks_from(start=i), count)
    return rows.joined()


def chunks(
    compute: Callable[[Any, Any], Any],
    networks: Any,
    count: int,
    *,
    batch_size: int = 64,
    start: int = 0,
    load: Callable[[np.ndarray], Any] | None = None,
    mesh: Mesh | None = None,
    title: str = "samples",
    quiet: bool = False,
) -> Iterator[list[np.ndarray]]:
    """Yields the leaves of results of samples `start`, ..., `count - 1`, in order.

    NumPy arrays `[CHUNK, ...]`, the last ones shorter; `start` is a multiple of CHUNK.
    In several processes each computes its devices' share and all get everything; all
    must call this alike. `mesh` is all devices of all processes by default.

    `compute` maps the tree `networks` and indices, uint32 `[TOGETHER]`, to a tree of
    arrays `[TOGETHER, ...]`; it is traced once. `load` maps indices `[N]` to a tree of
    host arrays `[N, ...]`, which `compute` gets instead. `batch_size` samples are
    dispatched before the first is waited for.
    """
    if count < 1 or batch_size < 1:
        raise UserError(
            f"count is {count} and batch_size {batch_size}; both must be at least 1"
        )
    mesh = mesh or parallel.make_mesh()
    copied, own = PartitionSpec(), PartitionSpec(parallel.DATA)
    mapped = jax.shard_map(compute, mesh=mesh, in_specs=(copied, own), out_specs=own)
    shared = jax.process_count() > 1
    # Every process needs all results; a single one gathers them on the host.
    out = parallel.replicated(mesh) if shared else parallel.split(mesh)
    run = jax.jit(mapped, out_shardings=out)
    networks = parallel.place(networks, parallel.replicated(mesh))
    together = TOGETHER * mesh.size
    calls = max(1, batch_size // together)
    calls = min(calls, _CALLS) if shared else calls
    here = jax.process_index()
    owned = [device.process_index == here for device in mesh.devices.flat]
    in_flight: collections.deque[Any] = collections.deque()
    held = Rows()
    with progress_bar(quiet=quiet or here != 0) as bar:
        task = bar.add_task(title, total=count, completed=start)
        for first in range(start, count, together):
            # The last call is padded with the last sample.
            indices = np.minimum(np.arange(first, first + together), count - 1)
            indices = indices.astype(np.uint32).reshape(mesh.size, TOGETHER)[owned]
            given = indices.ravel() if load is None else load(indices.ravel())
            result = run(networks, parallel.put_batch(given, mesh))
            in_flight.append((result, min(together, count - first)))
            ending = first + together >= count
            while in_flight and (ending or len(in_flight) >= calls):
                result, number = in_flight.popleft()
                held.add([x[:number] for x in jax.tree.leaves(jax.device_get(result))])
                bar.update(task, advance=number)
                while held.count >= CHUNK:
                    whole, held = held.joined(), Rows()
                    yield [x[:CHUNK] for x in whole]
                    held.add([x[CHUNK:] for x in whole])
    if held.count:
        yield held.joined()
