"""Networks of one file, to and from arrays by path.

A path is `mapping/dense0/weight`, `synthesis/block8/conv0/bias`, `noise/0` or `w_avg`
in a generator, `block8/conv0/weight` in a discriminator.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from stylegan_jax.errors import UserError
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator
from stylegan_jax.networks.pair import discriminator_network
from stylegan_jax.pickles.pickle_machine import shown

MAX_LISTED = 8  # problems spelt out in one error
Which = Literal["ema", "raw"]  # the generator's moving average, or the one in training


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedDiscriminator:
    """Parameters of a discriminator and its architecture."""

    params: dict[str, Any]
    config: ModelConfig  # only the fields that a discriminator reads matter

    __repr__ = short_repr


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """Networks of one run or file."""

    generator: Generator  # the moving average of training
    raw: Generator | None = None  # the one under training
    discriminator: TrainedDiscriminator | None = None
    source: str = ""  # name of the file they were first read from
    licence: str = ""  # known terms of the weights

    __repr__ = short_repr


def generator_arrays(generator: Generator) -> dict[str, np.ndarray]:
    """Arrays of a generator but `alpha`, by path."""
    return {path: np.asarray(x) for path, x in _flat(_tree(generator)).items()}


def discriminator_arrays(discriminator: TrainedDiscriminator) -> dict[str, np.ndarray]:
    """Arrays of a discriminator, by path."""
    return {path: np.asarray(x) for path, x in _flat(discriminator.params).items()}


def generator_shapes(
    config: ModelConfig, *, has_w_avg: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes of a generator's arrays by path; UserError for impossible networks."""
    mean = {"w_avg": (config.w_dim,)} if has_w_avg else {}
    return _shapes(config, of_generator=True) | mean


def discriminator_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of a discriminator's arrays; as `generator_shapes`."""
    return dict(_shapes(config, of_generator=False))


@functools.lru_cache(maxsize=16)  # tracing takes a second, and files hold G and Gs
def _shapes(config: ModelConfig, *, of_generator: bool) -> dict[str, tuple[int, ...]]:
    def init() -> Any:
        key = jax.random.key(0)
        if of_generator:
            return _tree(dataclasses.replace(init_generator(key, config), w_avg=None))
        images = jnp.zeros(
            (1, config.resolution, config.resolution, config.num_channels)
        )
        labels = jnp.zeros((1, config.label_size))
        return discriminator_network(config).init(key, images, labels)["params"]

    try:
        shapes = jax.eval_shape(init)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UserError(f"describes no possible network: {error}") from None
    return {path: leaf.shape for path, leaf in _flat(shapes).items()}


def _tree(generator: Generator) -> dict[str, Any]:
    noise = {str(i): image for i, image in enumerate(generator.noise)}
    mean = {} if generator.w_avg is None else {"w_avg": generator.w_avg}
    return {**generator.params, "noise": noise, **mean}


def _flat(params: Any) -> dict[str, Any]:
    return traverse_util.flatten_dict(params, sep="/")


def check_fit(
    found: Mapping[str, tuple[tuple[int, ...], str]],
    wanted: Mapping[str, tuple[int, ...]],
    *,
    dtypes: Sequence[str] = ("float32", "float16", "float64", "bfloat16"),
    kind: str = "arrays",
) -> None:
    """Raises UserError unless names, shapes and types (`dtypes`) of arrays match.

    `found` is shape and type by name, `wanted` shape by name; `kind` is for messages.
    """
    problems = []
    for name in sorted(found.keys() | wanted.keys()):
        shape, dtype = found.get(name, (None, ""))
        if shape is None:
            problems.append(f"{name} {wanted[name]} is missing")
        elif name not in wanted:
            problems.append(f"{shown(name)} {shape} has no place")
        elif shape != wanted[name]:
            problems.append(f"{name} is {shape}, expected {wanted[name]}")
        elif dtype not in dtypes:
            problems.append(f"{name} holds {dtype}, not {' or '.join(dtypes)}")
    if problems:
        more = len(problems) - MAX_LISTED
        listed = "; ".join(problems[:MAX_LISTED]) + f"; {more} more" * (more > 0)
        raise UserError(
            f"{len(problems)} {kind} do not fit the network described: {listed}"
        )


def build_generator(
    arrays: Mapping[str, Any],
    config: ModelConfig,
    *,
    resolution: int,
    alpha: float | None,
) -> Generator:
    """Generator of arrays by path, on the default device.

    Raises UserError for arrays missing, left over or of a wrong shape.
    """
    wanted = generator_shapes(config, has_w_avg="w_avg" in arrays)
    check_fit({path: (x.shape, x.dtype.name) for path, x in arrays.items()}, wanted)
    params = {"mapping": {}, **nested(arrays)}  # without layers it has no arrays
    noise, w_avg = params.pop("noise", {}), params.pop("w_avg", None)
    return Generator(
        params=params,
        w_avg=w_avg,
        noise=tuple(noise[str(i)] for i in range(len(noise))),
        alpha=None if alpha is None else jnp.asarray(alpha, jnp.float32),
        config=config,
        resolution=resolution,
    )


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Tree of parameters from arrays by path, on the default device."""
    on_device = {path: jnp.asarray(array) for path, array in arrays.items()}
    return traverse_util.unflatten_dict(on_device, sep="/")
