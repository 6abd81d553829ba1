"""Images of seeds, bitwise independent of the others drawn with them.

All come from one program of batch size 1 per device: rounding depends on batch size.
"""

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import latents_of_seed

NoiseKind = Literal["stored", "random", "none"]
Draw = Callable[..., Array]
Job = tuple[int, float]  # seed and psi: one picture


def require_pictures(generator: Generator, name: str = "this network") -> None:
    """Raises UserError for a network that draws points."""
    if generator.resolution == 1:
        raise UserError(
            f"{name} draws points, not pictures; see them with python -m "
            "stylegan_jax.coverage RUN"
        )


def make_draw(mesh: Mesh, *, cutoff: int | None, noise: NoiseKind) -> Draw:
    """Makes the jitted `(generator, labels, z, seeds, psis) -> images`, one per device.

    `z` is `[devices, z_dim]`, `seeds` (of random noise) and `psis` `[devices]`,
    `labels` `[1, label_size]` or None, `images` `[devices, H, W, C]`.
    """

    def draw_one(
        generator: Generator, labels: Array | None, z: Array, seeds: Array, psis: Array
    ) -> Array:
        drawn = None  # the stored noise
        if noise == "random":
            drawn = generator.draw_noise(jax.random.key(seeds[0]), 1)
        elif noise == "none":
            drawn = jax.tree.map(jnp.zeros_like, generator.noise)
        return generator.sample(
            z, labels=labels, psi=psis[0], cutoff=cutoff, noise=drawn
        )

    copied, own = PartitionSpec(), PartitionSpec(parallel.DATA)
    return jax.jit(
        jax.shard_map(
            draw_one,
            mesh=mesh,
            in_specs=(copied, copied, own, own, own),
            out_specs=own,
        )
    )


def draw_pictures(
    generator: Generator,
    jobs: Sequence[Job],
    draw: Draw,
    *,
    mesh: Mesh,
    labels: np.ndarray | None = None,
    batch_size: int = 16,
) -> Iterator[np.ndarray]:
    """Yields the uint8 `[H, W, C]` picture of each job (seed and psi), in order.

    `draw` is from `make_draw` for the same mesh; `labels` are `[1, label_size]`, of all
    pictures; `batch_size` pictures are dispatched before the first is waited for.
    """
    everywhere = parallel.replicated(mesh)
    generator, labels = jax.device_put((generator, labels), everywhere)
    in_flight: collections.deque[tuple[int, Array]] = collections.deque()

    def finish() -> Iterator[np.ndarray]:
        count, drawn = in_flight.popleft()
        yield from images.to_uint8(jax.device_get(drawn)[:count])

    for start in range(0, len(jobs), mesh.size):
        some = jobs[start : start + mesh.size]
        padded = [*some, *[some[-1]] * (mesh.size - len(some))]
        z = [latents_of_seed(seed, generator.config.z_dim) for seed, _ in padded]
        seeds = np.array([seed for seed, _ in padded], np.uint32)
        psis = np.array([psi for _, psi in padded], np.float32)
        inputs = parallel.put_batch((np.concatenate(z), seeds, psis), mesh)
        in_flight.append((len(some), draw(generator, labels, *inputs)))
        if len(in_flight) * mesh.size >= batch_size:
            yield from finish()
    while in_flight:
        yield from finish()


def one_hot(size: int, class_index: int | None) -> np.ndarray | None:
    """One-hot `[1, size]`, None if unconditional; UserError for unsuitable classes."""
    if not size:
        if class_index is not None:
            raise UserError(
                f"`class_index` {class_index}: this network is unconditional, leave "
                "`class_index` out"
            )
        return None
    if class_index is None or not 0 <= class_index < size:
        given = "is missing" if class_index is None else f"{class_index} is unknown"
        raise UserError(
            f"`class_index` {given}: this network has {size} classes, 0 to {size - 1}"
        )
    return np.eye(1, size, class_index, dtype=np.float32)
