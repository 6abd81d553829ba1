"""Inception network of 2015, which defines FID, KID and the inception score.

TensorFlow's `inception-2015-12-05` with the names of its PyTorch conversion. Unlike
torchvision's Inception v3, average pooling excludes the padding, the last block takes
a maximum instead, and there are 1008 classes. Arrays are `[N, H, W, C]`.

Source: Szegedy et al. 2016, table 1 and figures 5 to 7; torch-fidelity 0.4.0,
`feature_extractor_inceptionv3.py`; mseitzer/pytorch-fid, `inception.py`.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.features.frozen_layers import conv_relu, resize_tf1

RESOLUTION = 299
NUM_CLASSES = 1008
_BN_EPS = 1e-3
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
OUTPUTS = {"2048": 2048, "logits_unbiased": NUM_CLASSES}


class Conv(NamedTuple):
    """Convolution, batch normalisation, ReLU; with a stride it is without padding."""

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)  # height and width
    stride: int | None = None


class Pool(NamedTuple):
    """Max or average pooling of 3 x 3 pixels; `stride` as in `Conv`."""

    kind: Literal["max", "avg"]
    stride: int | None = None


class Fork(NamedTuple):
    """Parallel branches of layers, concatenated along channels in order."""

    prefix: str
    branches: tuple[tuple["Conv | Pool | Fork", ...], ...]


Layer = Conv | Pool | Fork
_Row = tuple[Layer, ...]


def _row(prefix: str, *layers: tuple[int, int, int], stride: int | None = None) -> _Row:
    """Convolutions `prefix_1`, ... of (width, kernel); `stride` is of the last."""
    row = [Conv(f"{prefix}_{i}", x, (h, w)) for i, (x, h, w) in enumerate(layers, 1)]
    return (*row[:-1], row[-1]._replace(stride=stride))


def _block_35(name: str, pool_width: int) -> Fork:
    """At 35 x 35 pixels (figure 5)."""
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 64),),
            _row("branch5x5", (48, 1, 1), (64, 5, 5)),
            _row("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            (Pool("avg"), Conv("branch_pool", pool_width)),
        ),
    )


def _block_17(name: str, inner: int) -> Fork:
    """At 17 x 17 pixels (figure 6)."""
    first, across, down = (inner, 1, 1), (inner, 1, 7), (inner, 7, 1)
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 192),),
            _row("branch7x7", first, across, (192, 7, 1)),
            _row("branch7x7dbl", first, down, across, down, (192, 1, 7)),
            (Pool("avg"), Conv("branch_pool", 192)),
        ),
    )


def _block_8(name: str, pool: Literal["max", "avg"]) -> Fork:
    """At 8 x 8 pixels (figure 7)."""
    double = _row("branch3x3dbl", (448, 1, 1), (384, 3, 3))
    return Fork(
        f"{name}.",
        (
            (Conv("branch1x1", 320),),
            (Conv("branch3x3_1", 384), _cross("branch3x3_2")),
            (*double, _cross("branch3x3dbl_3")),
            (Pool(pool), Conv("branch_pool", 192)),
        ),
    )


def _cross(name: str) -> Fork:
    return Fork(name, ((Conv("a", 384, (1, 3)),), (Conv("b", 384, (3, 1)),)))


_TO_17 = Fork(
    "Mixed_6a.",
    (
        (Conv("branch3x3", 384, (3, 3), 2),),
        _row("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3), stride=2),
        (Pool("max", stride=2),),
    ),
)
_SEVENS = ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3))
_TO_8 = Fork(
    "Mixed_7a.",
    (
        _row("branch3x3", (192, 1, 1), (320, 3, 3), stride=2),
        _row("branch7x7x3", *_SEVENS, stride=2),
        (Pool("max", stride=2),),
    ),
)

LAYERS: tuple[Layer, ...] = (
    Conv("Conv2d_1a_3x3", 32, (3, 3), 2),
    Conv("Conv2d_2a_3x3", 32, (3, 3), 1),
    Conv("Conv2d_2b_3x3", 64, (3, 3)),
    Pool("max", stride=2),
    Conv("Conv2d_3b_1x1", 80),
    Conv("Conv2d_4a_3x3", 192, (3, 3), 1),
    Pool("max", stride=2),
    _block_35("Mixed_5b", 32),
    _block_35("Mixed_5c", 64),
    _block_35("Mixed_5d", 64),
    _TO_17,
    _block_17("Mixed_6b", 128),
    _block_17("Mixed_6c", 160),
    _block_17("Mixed_6d", 160),
    _block_17("Mixed_6e", 192),
    _TO_8,
    _block_8("Mixed_7b", "avg"),
    _block_8("Mixed_7c", "max"),  # the mean in Inception v3 proper
)


def shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters by name, in PyTorch's layout."""
    table: dict[str, tuple[int, ...]] = {}
    width = _list_shapes(LAYERS, "", 3, table)
    return table | {"fc.weight": (NUM_CLASSES, width), "fc.bias": (NUM_CLASSES,)}


def _list_shapes(
    row: Sequence[Layer], prefix: str, width: int, table: dict[str, tuple[int, ...]]
) -> int:
    """Adds the shapes of layers to `table`; returns the width of their output."""
    for layer in row:
        if isinstance(layer, Conv):
            name = prefix + layer.name
            table[f"{name}.conv.weight"] = (layer.width, width, *layer.kernel)
            table.update({f"{name}.bn.{part}": (layer.width,) for part in _BATCH_NORM})
            width = layer.width
        elif isinstance(layer, Fork):
            inner = prefix + layer.prefix
            ends = [_list_shapes(x, inner, width, table) for x in layer.branches]
            width = sum(ends)
    return width


def load(path: str | os.PathLike[str] | None = None) -> dict[str, Array]:
    """Parameters of pytorch-fid's file, or of another with its names."""
    unused = (".num_batches_tracked",)
    arrays = weights.load(weights.INCEPTION, shapes(), path=path, unused=unused)
    return convert(arrays)


def convert(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Parameters of PyTorch's arrays, unchecked; batch normalisation is folded in."""
    params = {"fc.weight": jnp.asarray(arrays["fc.weight"].T, jnp.float32)}
    for name in arrays:
        if not name.endswith(".conv.weight"):
            continue
        name = name.removesuffix(".conv.weight")
        scale, bias, mean, variance = (
            arrays[f"{name}.bn.{part}"].astype(np.float64) for part in _BATCH_NORM
        )
        scale = scale / np.sqrt(variance + _BN_EPS)
        kernel = arrays[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        params[f"{name}.weight"] = jnp.asarray(kernel, jnp.float32)
        params[f"{name}.bias"] = jnp.asarray(bias - mean * scale, jnp.float32)
    return params


def preprocess(images: Array) -> Array:
    """Images 0..255 as 299 x 299 pixels in [-1, 1)."""
    x = resize_tf1(images.astype(jnp.float32), RESOLUTION, RESOLUTION)
    return (x - 128) / 128


def extractor(params: Params, output: str = "2048") -> FrozenNetwork:
    """Network of one output of images of any size, 0..255.

    "2048" are means over pixels at the end, of FID; "logits_unbiased" have no bias, as
    in the official inception score.
    """
    if output not in OUTPUTS:
        raise UserError(
            f"Inception has no output {output!r}; they are {', '.join(OUTPUTS)}"
        )

    def function(params: Params, images: Array) -> Array:
        layer = functools.partial(_apply, params, "")
        means = functools.reduce(layer, LAYERS, preprocess(images)).mean((1, 2))
        return means if output == "2048" else means @ params["fc.weight"]

    return FrozenNetwork(f"inception-2015-{output}", OUTPUTS[output], params, function)


def _apply(params: Params, prefix: str, x: Array, layer: Layer) -> Array:
    if isinstance(layer, Fork):
        step = functools.partial(_apply, params, prefix + layer.prefix)
        ends = [functools.reduce(step, branch, x) for branch in layer.branches]
        return jnp.concatenate(ends, axis=-1)
    padding, stride = "VALID" if layer.stride else "SAME", layer.stride or 1
    if isinstance(layer, Conv):
        name = prefix + layer.name
        return conv_relu(params, name, x, stride=stride, padding=padding)
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    if layer.kind == "max":
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)
    ones = jnp.ones((1, *x.shape[1:3], 1))  # means exclude the padding
    total, count = (
        lax.reduce_window(values, 0.0, lax.add, window, strides, padding)
        for values in (x, ones)
    )
    return total / count
