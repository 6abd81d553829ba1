"""Self-contained sampler file (`.jaxexport`), for machines without this package.

`jax.export` of `Generator.sample`: one program for CPUs, NVIDIA GPUs and TPUs,
weights and noise included. From `z` `[N, z_dim]`, `psi` and, for networks with
classes, `labels` `[N, label_size]`, it computes float32 `[N, H, W, C]` for any N.
`usage` gives code that calls it.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export

from stylegan_jax.errors import UserError
from stylegan_jax.io import programs
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import latents_of_seed

PLATFORMS = ("cpu", "cuda", "tpu")

# Mean difference of images in [-1, 1]. bfloat16 has 8 bits.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}


def save(
    path: str | os.PathLike[str],
    generator: Generator,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
    cutoff: int | None = 8,
) -> None:
    """Writes the sampler of a generator, with its stored noise.

    `path` conventionally ends in `.jaxexport`. "bfloat16" halves the weights and
    computes activations in it; layers from `cutoff` on are not truncated (None: all
    are). Raises UserError for another dtype, or if `flatbuffers` is missing.
    """
    (count,) = export.symbolic_shape("n")
    config = generator.config
    taken = [
        jax.ShapeDtypeStruct((count, config.z_dim), jnp.float32),
        jax.ShapeDtypeStruct((), jnp.float32),
    ]
    if config.label_size:
        taken.append(jax.ShapeDtypeStruct((count, config.label_size), jnp.float32))
    sample = make_sampler(generator, dtype=dtype, cutoff=cutoff)
    program = export.export(jax.jit(sample), platforms=PLATFORMS)(*taken)
    programs.write(path, program)


def make_sampler(
    generator: Generator,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
    cutoff: int | None = 8,
) -> Callable[..., Array]:
    """Function `(z, psi)` or `(z, psi, labels)` that `save` writes."""
    if dtype not in _TOLERANCES:
        raise UserError(f"dtype is {dtype!r}, not one of {', '.join(_TOLERANCES)}")
    config = generator.config
    stored = jax.tree.map(lambda x: x.astype(dtype), generator)
    if dtype == "bfloat16":
        stored = stored.replace(config=dataclasses.replace(config, dtype=dtype))

    def sample(z: Array, psi: Array, labels: Array | None = None) -> Array:
        # Mapping, styles and the scaling of weights stay float32.
        wide = jax.tree.map(lambda x: x.astype(jnp.float32), stored)
        return wide.sample(z, labels=labels, psi=psi, cutoff=cutoff)

    return sample


def usage(path: str | os.PathLike[str], generator: Generator) -> str:
    """Code that draws with a file of `save`; it needs jax and flatbuffers."""
    config = generator.config
    lines = [
        "import jax.export, numpy as np",
        f"data = open({str(path)!r}, 'rb').read()",
        "sampler = jax.export.deserialize(bytearray(data))",
        f"z = np.random.RandomState(0).randn(4, {config.z_dim}).astype(np.float32)",
    ]
    labels = ""
    if config.label_size:
        classes = f"np.arange(4) % {config.label_size}"
        lines.append(
            f"labels = np.eye({config.label_size}, dtype=np.float32)[{classes}]"
        )
        labels = ", labels"
    side, channels = generator.resolution, config.num_channels
    drawn = f"float32 [4, {side}, {side}, {channels}], -1 to 1"
    return "\n".join(
        [*lines, f"images = sampler.call(z, np.float32(0.7){labels})  # {drawn}"]
    )


def check(
    path: str | os.PathLike[str],
    generator: Generator,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> float:
    """Largest difference of two images drawn by a file of `save` and its generator.

    Raises UserError beyond rounding.
    """
    program = programs.read(path, again="python -m stylegan_jax.convert")
    size = generator.config.label_size
    seeds = [latents_of_seed(seed, generator.config.z_dim) for seed in (0, 1)]
    z, psi = jnp.asarray(np.concatenate(seeds)), jnp.float32(0.7)
    labels = jnp.eye(size)[np.arange(2) % size] if size else None

    @jax.jit
    def sample(generator: Generator, psi: Array) -> Array:
        return generator.sample(z, labels=labels, psi=psi)

    found = program.call(z, psi, *([] if labels is None else [labels]))
    difference = np.abs(np.asarray(found) - np.asarray(sample(generator, psi)))
    if not difference.mean() <= _TOLERANCES[dtype]:  # nan is not
        raise UserError(
            f"read back, the images of {path} differ by {difference.mean():.2g} on "
            f"average from the network's"
        )
    return float(difference.max())
