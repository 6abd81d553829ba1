"""Data parallelism on a mesh with one axis, `data`, over all processes' devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from stylegan_jax.errors import UserError

DATA = "data"


def make_mesh(num_devices: int | None = None) -> Mesh:
    """Mesh of the first `num_devices` devices, by default all."""
    # By process: its rows of a batch are one block.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    if num_devices is not None and not 1 <= num_devices <= len(devices):
        raise UserError(
            f"{num_devices} devices wanted, but {len(devices)} of kind "
            f"{devices[0].platform} are there"
        )
    return Mesh(np.asarray(devices[:num_devices]), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding with a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Sharding with axis `axis` cut into one block per device."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA))


def put_batch(batch: Any, mesh: Mesh, axis: int = 0) -> Any:
    """Puts each process's own share of a batch on the mesh, split along `axis`."""
    sharding = split(mesh, axis)

    def put(array: np.ndarray) -> Array:
        return jax.make_array_from_process_local_data(sharding, array)

    return jax.tree.map(put, batch)


def spread(shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    """Sharding along the longest axis that the devices divide; replicated if none.

    For element-wise updates (ZeRO stage 1, Rajbhandari et al. 2020): moments, averages.
    """
    fitting = [n for n in shape if n and n % mesh.size == 0]
    if not fitting:
        return replicated(mesh)
    return split(mesh, shape.index(max(fitting)))


def place(tree: Any, shardings: Any) -> Any:
    """Puts a tree that every process holds whole onto the mesh.

    Arrays may be on the mesh already, random keys may be typed. `shardings` is one for
    all, or the same tree.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    if isinstance(shardings, NamedSharding):
        one = shardings
        shardings = jax.tree.map(lambda _: one, tree)

    def put(array: Array, sharding: NamedSharding) -> Array:
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(array), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
        if isinstance(array, Array) and not array.is_fully_addressable:
            if array.sharding == sharding:
                return array
            return jax.jit(lambda x: x, out_shardings=sharding)(array)
        # Not `device_put`, which would compare the processes' values array by array.
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda i: host[i])

    return jax.tree.map(put, tree, shardings)


def copy_everywhere(tree: Any, mesh: Mesh) -> Any:
    """Replicates a tree that is on the mesh."""
    split_up = [x for x in jax.tree.leaves(tree) if not x.is_fully_replicated]
    if not split_up:
        return tree
    return jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)


def to_host(tree: Any) -> Any:
    """The whole tree as NumPy arrays, in every process; collective for split arrays."""
    if jax.process_count() > 1:
        tree = jax.tree.map(_gathered, tree)
    return jax.device_get(tree)


def _gathered(array: Array) -> Any:
    if array.is_fully_replicated or array.is_fully_addressable:
        return array
    return multihost_utils.process_allgather(array, tiled=True)
