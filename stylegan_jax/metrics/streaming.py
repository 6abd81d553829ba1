"""Values of many samples of a generator, batch by batch over the devices of a mesh.

Whatever is random about a sample is a function of a seed and of the sample's index,
and a device always runs the program of the same few samples. So neither the number of
devices nor the size of a batch changes a digit that matters.
"""

import collections
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from stylegan_jax import parallel
from stylegan_jax.networks.generator import Generator, Noise

NoiseKind = Literal["random", "stored"]

# Samples in the program of a device. Another number is another order of additions,
# which path lengths show in the fifth digit: they divide rounding by 1e-4.
TOGETHER = 4


def stream(
    compute: Callable[[Any, Array], Any],
    generator: Any,
    count: int,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
    title: str = "samples",
    quiet: bool = False,
) -> Any:
    """Computes something of each sample 0, ..., `count - 1`.

    Args:
        compute: `(generator, indices uint32 [TOGETHER])` to a tree of arrays
            `[TOGETHER, ...]`; traced once, runs on every device.
        generator: copied to every device; with other networks a tuple of trees.
        count: number of samples.
        batch_size: samples given to the devices before the first is waited for.
        mesh: all devices by default.
        title: of the bar that a terminal shows.
        quiet: shows no bar.

    Returns:
        The tree of NumPy arrays `[count, ...]`, in the order of the samples.

    Raises:
        ValueError: no samples, or batches of none.
    """
    if count < 1 or batch_size < 1:
        raise ValueError(
            f"count is {count} and batch_size {batch_size}; both must be at least 1"
        )
    mesh = parallel.make_mesh() if mesh is None else mesh
    copied, own = PartitionSpec(), PartitionSpec(parallel.DATA)
    run = jax.jit(
        jax.shard_map(compute, mesh=mesh, in_specs=(copied, own), out_specs=own)
    )
    generator = jax.device_put(generator, parallel.replicated(mesh))
    together = TOGETHER * mesh.size
    in_flight: collections.deque[Any] = collections.deque()
    done: list[Any] = []
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as bar:
        task = bar.add_task(title, total=count)

        def finish() -> None:
            done.append(jax.device_get(in_flight.popleft()))
            bar.update(task, completed=min(count, len(done) * together))

        for start in range(0, count, together):
            # The last call is filled up with the last sample.
            indices = np.minimum(np.arange(start, start + together), count - 1)
            given = parallel.put_batch(indices.astype(np.uint32), mesh)
            in_flight.append(run(generator, given))
            if len(in_flight) * together >= batch_size:
                finish()
        while in_flight:
            finish()
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *done)


def sample_keys(seed: int, indices: Array, number: int) -> Array:
    """`number` independent keys for each sample: `[N]` to typed keys `[number, N]`."""
    key = jax.random.key(seed)

    def keys_of(index: Array) -> Array:
        return jax.random.split(jax.random.fold_in(key, index), number)

    return jax.vmap(keys_of, out_axes=1)(indices)


def draw_normal(keys: Array, size: int) -> Array:
    """One unit normal vector per key, `[N]` to `[N, size]`."""
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)


def draw_labels(generator: Generator, keys: Array) -> Array | None:
    """A class per key, all equally likely: one-hot `[N, label_size]`.

    None for an unconditional network, as in the official metrics; those know no
    other networks.
    """
    size = generator.config.label_size
    if not size:
        return None
    classes = jax.vmap(lambda key: jax.random.randint(key, (), 0, size))(keys)
    return jax.nn.one_hot(classes, size)


def draw_noise(generator: Generator, keys: Array, kind: NoiseKind) -> Noise:
    """Noise of one image per key, `[N, R, R, 1]` each, or the stored `[1, R, R, 1]`."""
    if kind == "stored":
        return generator.noise
    layers = jax.vmap(lambda key: generator.draw_noise(key, 1))(keys)
    return tuple(layer[:, 0] for layer in layers)
