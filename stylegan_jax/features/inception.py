"""Inception network of 2015, which defines FID, KID and the inception score.

TensorFlow's `inception-2015-12-05` with the names of its PyTorch conversion. Unlike
torchvision's Inception v3, average pooling excludes the padding, the last block takes
a maximum instead, and there are 1008 classes. Arrays are `[N, H, W, C]`.

Source: Szegedy et al. 2016; torch-fidelity 0.4.0, `feature_extractor_inceptionv3.py`;
mseitzer/pytorch-fid, `inception.py`.
"""

import functools
import os
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.features.frozen_layers import conv_relu, resize_tf1
from stylegan_jax.features.inception_layers import LAYERS, Conv, Fork, Layer

RESOLUTION = 299
NUM_CLASSES = 1008
_BN_EPS = 1e-3
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")

OUTPUTS = {"2048": 2048, "logits_unbiased": NUM_CLASSES}


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
