"""Evaluation of a function of many samples over the devices of all processes.

A sample's randomness depends on seed and index alone (`draws.py`), and each device
program has a fixed number of samples. So results do not depend on devices, processes
or batch size, and resuming is bitwise.
"""

import collections
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.store import ResultFile

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
    file: ResultFile | None = None,
    **options: Any,
) -> Any:
    """Results of samples 0, ..., `count - 1` by `chunks`, resumed from `file`."""

    def rest(start: int) -> Iterator[Any]:
        return chunks(compute, networks, count, start=start, **options)

    return gather(rest, count, file or ResultFile())


def gather(rest: Callable[[int], Iterator[Any]], count: int, file: ResultFile) -> Any:
    """The `count` results of `rest(start)`, in parts; those in `file` are not repeated.

    A lasting file is of a single array.
    """
    kept = file.restore()
    done = [[kept[str(i)] for i in range(len(kept))]] if kept else []
    start = len(kept["0"]) if kept else 0
    structure = jax.tree.structure(0)
    for part in rest(start) if start < count or not kept else ():
        leaves, structure = jax.tree.flatten(part)
        done.append(leaves)
        start += len(leaves[0])
        file.save(
            lambda: {str(i): x for i, x in enumerate(_joined(done))},
            whole=start == count,
        )
    return jax.tree.unflatten(structure, _joined(done))


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
) -> Iterator[Any]:
    """Yields results of samples `start`, ..., `count - 1`, in order.

    Trees of NumPy arrays `[CHUNK, ...]`, the last one shorter. In several processes
    each computes its devices' share and all get everything; all must call this alike.

    Args:
        compute: `(networks, indices uint32 [TOGETHER])` to a tree of arrays
            `[TOGETHER, ...]`; traced once.
        networks: tree of arrays, replicated.
        batch_size: samples dispatched before the first is waited for.
        start: a multiple of CHUNK.
        load: indices `[N]` of this process's share to a tree of host arrays
            `[N, ...]`, which `compute` gets instead.
    """
    if count < 1 or batch_size < 1:
        raise UserError(
            f"count is {count} and batch_size {batch_size}; both must be at least 1"
        )
    if start % CHUNK or not 0 <= start < count:
        raise UserError(f"start {start} is not a multiple of {CHUNK} below {count}")
    mesh = parallel.make_mesh() if mesh is None else mesh
    results = _results(compute, networks, range(start, count), batch_size, load, mesh)
    structure, held, left = None, [], count - start
    with progress_bar(quiet=quiet or jax.process_index() != 0) as bar:
        task = bar.add_task(title, total=count, completed=start)
        for result in results:
            number = min(left, TOGETHER * mesh.size)  # the last call was padded
            leaves, structure = jax.tree.flatten(result)
            held.append([x[:number] for x in leaves])
            left -= number
            bar.update(task, advance=number)
            while sum(len(leaves[0]) for leaves in held) >= CHUNK:
                whole = _joined(held)
                yield jax.tree.unflatten(structure, [x[:CHUNK] for x in whole])
                held = [[x[CHUNK:] for x in whole]]
        if any(len(leaves[0]) for leaves in held):
            yield jax.tree.unflatten(structure, _joined(held))


def _results(
    compute: Callable[[Any, Any], Any],
    networks: Any,
    samples: range,
    batch_size: int,
    load: Callable[[np.ndarray], Any] | None,
    mesh: Mesh,
) -> Iterator[Any]:
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
    for start in range(samples.start, samples.stop, together):
        # The last call is padded with the last sample.
        indices = np.arange(start, start + together)
        indices = np.minimum(indices, samples.stop - 1).astype(np.uint32)
        indices = indices.reshape(mesh.size, TOGETHER)[owned].reshape(-1)
        given = parallel.put_batch(indices if load is None else load(indices), mesh)
        in_flight.append(run(networks, given))
        if len(in_flight) >= calls:
            yield jax.device_get(in_flight.popleft())
    while in_flight:
        yield jax.device_get(in_flight.popleft())


def _joined(parts: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
