"""Convolutional network of the classifiers, and its features.

Convolutions with ReLU and 2 x 2 max pooling, a dense layer of features, and the logits
of all heads side by side. Parameters are `conv0.weight`, `conv0.bias`, ...
`hidden.weight` `[I, F]` and `heads.weight` `[F, K]`; images `[N, R, R, C]` in [-1, 1].
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.features.frozen_layers import conv_relu
from stylegan_jax.ops import resample

SIZE = 128  # of the features

_WIDTHS = (32, 64, 64)  # of the convolutions; more repeat the last
_SMALLEST = 8  # side of images at least, and of the last maps at most


def shapes(resolution: int, channels: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters by name; `outputs` are logits of all heads together."""
    if resolution < _SMALLEST:
        raise UserError(
            f"images of {resolution} px are too small to classify; take at least "
            f"{_SMALLEST} px"
        )
    table: dict[str, tuple[int, ...]] = {}
    side, before, count = resolution, channels, 0
    while count < len(_WIDTHS) or side > _SMALLEST:
        width = _WIDTHS[min(count, len(_WIDTHS) - 1)]
        table[f"conv{count}.weight"] = (3, 3, before, width)
        side, before, count = side // 2, width, count + 1
    table["hidden.weight"] = (side * side * before, SIZE)
    table["heads.weight"] = (SIZE, outputs)
    biases = {
        name.replace("weight", "bias"): shape[-1:] for name, shape in table.items()
    }
    return table | biases


def init(key: Array, resolution: int, channels: int, outputs: int) -> dict[str, Array]:
    """Initial weights: normal, of variance `2 / inputs`; biases 0."""
    params: dict[str, Array] = {}
    for name, shape in shapes(resolution, channels, outputs).items():
        key, subkey = jax.random.split(key)
        scale = (2 / math.prod(shape[:-1])) ** 0.5 if name.endswith("weight") else 0.0
        params[name] = scale * jax.random.normal(subkey, shape)
    return params


def features(params: Params, x: Array) -> Array:
    """Input of the last layer, `[N, SIZE]`, not negative."""
    for index in range(sum(name.startswith("conv") for name in params) // 2):
        x = conv_relu(params, f"conv{index}", x)
        n, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]  # 2 x 2 max pooling
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
    x = x.reshape(len(x), -1)
    return jax.nn.relu(x @ params["hidden.weight"] + params["hidden.bias"][None])


def logits(params: Params, x: Array) -> Array:
    """Logits of all heads, `[N, K]`."""
    return features(params, x) @ params["heads.weight"] + params["heads.bias"][None]


def extractor(params: Params, *, resolution: int, name: str) -> FrozenNetwork:
    """Features of RGB images of any size; UserError for a network of RGBA.

    Multiples of the resolution are reduced by means of cells, others resized linearly
    and antialiased; a network of grey images sees 0.299 R + 0.587 G + 0.114 B.
    """
    channels = params["conv0.weight"].shape[2]
    if channels not in (1, 3):
        raise UserError(
            f"{name} was trained on images of {channels} channels; features are taken "
            "of RGB images: train one with 1 or 3"
        )

    def function(params: Params, images: Array) -> Array:
        x = images.astype(jnp.float32) / 127.5 - 1
        n, height, width, _ = x.shape
        if height == width and height % resolution == 0:
            x = resample.downsample(x, height // resolution)
        else:
            x = jax.image.resize(x, (n, resolution, resolution, 3), "linear")
        if channels == 1:
            x = (x * jnp.array([0.299, 0.587, 0.114])[None, None, None]).sum(-1)[
                ..., None
            ]
        return features(params, x)

    return FrozenNetwork(name, SIZE, params, function)
