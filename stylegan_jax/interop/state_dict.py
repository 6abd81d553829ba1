"""From a PyTorch state dictionary to a `Generator`: what all families share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from stylegan_jax.interop import official_variables
from stylegan_jax.interop.official_variables import Row
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator
from stylegan_jax.pickles.pickle_machine import NotAStyleGANPickleError, shown
from stylegan_jax.pickles.torch_pickle import Tensor

Variables = dict[str, np.ndarray]

# Their axes to ours.
NCHW = (0, 2, 3, 1)
OUT_IN = (1, 0)
OUT_IN_HW = (2, 3, 1, 0)
IN_OUT_HW = (2, 3, 0, 1)

MAX_MAPPING_LAYERS = 64
_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


def variables(state: Mapping[object, object]) -> Variables:
    """The arrays of a state dictionary, by name.

    Names lose the `module.` that `DataParallel` puts in front.

    Raises:
        NotAStyleGANPickleError: there is something else in it.
    """
    found: Variables = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise NotAStyleGANPickleError(
                f"the state dictionary's {shown(name)} is no tensor"
            )
        found[name.removeprefix("module.")] = value.array()
    return found


def shape_of(found: Variables, name: str, ndim: int) -> tuple[int, ...]:
    """The shape of an array that a description of the network hangs on.

    Raises:
        NotAStyleGANPickleError: it is not there, or has another number of axes.
    """
    array = found.get(name)
    if array is None or array.ndim != ndim:
        what = "is missing" if array is None else f"is {array.shape}, not {ndim}-D"
        raise NotAStyleGANPickleError(f"{name} {what}")
    return array.shape


def count_of(found: Variables, name: str, limit: int) -> int:
    """How many of `name`, which has a `{i}` counting from 0, are there; 1 to limit.

    Raises:
        NotAStyleGANPickleError: none, or more than the limit.
    """
    count = 0
    while name.format(i=count) in found and count <= limit:
        count += 1
    if not 1 <= count <= limit:
        raise NotAStyleGANPickleError(
            f"there are {count} of {name.format(i='N')}, not 1 to {limit}"
        )
    return count


def channel_rule(widths: Mapping[int, int]) -> tuple[int, int]:
    """`channel_base` and `channel_max` that give these channels by resolution.

    Raises:
        NotAStyleGANPickleError: none do.
    """
    channel_max = max(widths.values())
    channel_base = max(size * width for size, width in widths.items())
    for size, width in widths.items():
        if min(channel_base // size, channel_max) != width:
            raise NotAStyleGANPickleError(
                f"{width} channels at {size} px are not min({channel_base} / {size}, "
                f"{channel_max}): its widths follow no rule of StyleGAN's"
            )
    return channel_base, channel_max


def drop_blur(found: Variables, names: Sequence[str]) -> None:
    """Takes out stored low-pass filters, which must be [1, 2, 1].

    Raises:
        NotAStyleGANPickleError: one is missing or another filter.
    """
    for name in names:
        kernel = found.pop(name, None)
        if kernel is None or kernel.ndim != 4 or kernel.shape[1:] != (1, 3, 3):
            raise NotAStyleGANPickleError(f"{name} is missing or no 3x3 filter")
        if not np.allclose(kernel, _BLUR, rtol=1e-3):
            raise NotAStyleGANPickleError(f"{name} is another filter than [1, 2, 1]")


def layer_paths(config: ModelConfig) -> list[tuple[int, str]]:
    """The resolution and the path in `params` of every layer, in order."""
    first = "const" if config.const_input else "dense"
    paths = [(4, f"synthesis/block4/{first}"), (4, "synthesis/block4/conv")]
    for size in config.resolutions[1:]:
        paths += [(size, f"synthesis/block{size}/conv{i}") for i in (0, 1)]
    return paths


def build(
    found: Variables,
    rows: Sequence[Row],
    config: ModelConfig,
    *,
    resolution: int,
    alpha: float | None = None,
    absent: Mapping[str, np.ndarray] | None = None,
) -> Generator:
    """A generator of all variables, each read exactly once.

    Args:
        found: variables by their names.
        rows: which one is which parameter (or "w_avg", or "noise/3").
        config: the architecture.
        resolution: of the images.
        alpha: how far the last resolution has faded in; None when stable.
        absent: in our layout, what such files do not have.

    Raises:
        NotAStyleGANPickleError: variables are missing, left over, not finite or of a
            wrong shape.
    """
    ours = jax.eval_shape(lambda: init_generator(jax.random.key(0), config))
    flat: dict[str, Any] = traverse_util.flatten_dict(ours.params, sep="/")
    shapes: dict[str, tuple[int, ...]] = {p: leaf.shape for p, leaf in flat.items()}
    shapes |= {f"noise/{i}": leaf.shape for i, leaf in enumerate(ours.noise)}
    shapes["w_avg"] = (config.w_dim,)
    absent = absent or {}
    wanted = {path: shape for path, shape in shapes.items() if path not in absent}
    read = official_variables.match(found, tuple(rows), wanted, config) | dict(absent)
    for path, array in read.items():
        if not np.isfinite(array).all():
            raise NotAStyleGANPickleError(
                f"{path} is not finite: the run that saved it had diverged"
            )
    noise = tuple(jnp.asarray(read.pop(f"noise/{i}")) for i in range(len(ours.noise)))
    w_avg = jnp.asarray(read.pop("w_avg"))
    params = {"mapping": {}, **traverse_util.unflatten_dict(read, sep="/")}
    return Generator(
        params=jax.tree.map(jnp.asarray, params),
        w_avg=w_avg,
        noise=noise,
        alpha=None if alpha is None else jnp.asarray(alpha, jnp.float32),
        config=config,
        resolution=resolution,
    )


def growth(lod: float, resolution: int) -> tuple[int, float | None]:
    """The active resolution and its fade-in (None: stable) at a level of detail.

    Raises:
        NotAStyleGANPickleError: there is no such level.
    """
    coarsest = math.log2(resolution) - 2
    if not 0 <= lod <= coarsest:
        raise NotAStyleGANPickleError(f"lod is {lod:g}, not 0 to {coarsest:g}")
    return resolution >> math.floor(lod), None if lod % 1 == 0 else 1 - lod % 1
