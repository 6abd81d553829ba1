"""Where arrays live: one mesh with the axis `data`, state copied, batches split."""

from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of the first `num_devices` devices, all of them by default.

    Raises:
        ValueError: there are fewer devices.
    """
    devices = jax.devices()
    if num_devices is not None and not 1 <= num_devices <= len(devices):
        raise ValueError(
            f"{num_devices} devices wanted, but {len(devices)} of kind "
            f"{devices[0].platform} are there"
        )
    return Mesh(np.asarray(devices[:num_devices]), (DATA,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Axis `axis` cut into one block per device."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA))


def put_batch(batch: Any, mesh: Mesh, axis: int = 0) -> Any:
    """Moves a tree of host arrays onto the mesh, split along `axis`.

    Every process passes its own share of the batch.
    """
    sharding = split(mesh, axis)

    def put(array: np.ndarray) -> Array:
        return jax.make_array_from_process_local_data(sharding, array)

    return jax.tree.map(put, batch)
