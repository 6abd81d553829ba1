"""VGG16 (Simonyan & Zisserman 2015, configuration D) of torchvision.

Parameters have torchvision's names, `features.0.weight` to `classifier.3.bias`, and
layers its indices in `features`. Arrays are `[N, H, W, C]`, kernels `[3, 3, I, O]`.

Source: `torchvision/models/vgg.py`.
"""

import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.features.frozen_layers import (
    conv_relu,
    max_pool,
    resize_tf1,
    with_biases,
)

# Indices and widths of the convolutions between poolings.
_STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
WIDTHS = (64, 128, 256, 512, 512)
RELUS = tuple(index + 1 for stage in _STAGES for index in stage)
_AFTER_POOLING = [stage[0] for stage in _STAGES[1:]]

# Of ImageNet, for images in [0, 1].
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

_FC_RESOLUTION = 224  # of the dense layers' images
_FC_SIZE = 4096


def shapes(*, dense: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of PyTorch's parameters by name; `dense` adds the first dense layers."""
    kernels: dict[str, tuple[int, ...]] = {}
    before = 3
    for stage, width in zip(_STAGES, WIDTHS, strict=True):
        for index in stage:
            kernels[f"features.{index}"] = (width, before, 3, 3)
            before = width
    if dense:
        kernels["classifier.0"] = (_FC_SIZE, 7 * 7 * WIDTHS[-1])
        kernels["classifier.3"] = (_FC_SIZE, _FC_SIZE)
    return with_biases(kernels)


def load(
    path: str | os.PathLike[str] | None = None, *, dense: bool = False
) -> dict[str, Array]:
    """Parameters of torchvision's weights, or of a file with their names."""
    unused = ("classifier.6.",) if dense else ("classifier.",)
    table = shapes(dense=dense)
    return convert(weights.load(weights.VGG16, table, path=path, unused=unused))


def convert(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Parameters of arrays in PyTorch's layout, unchecked."""
    params = weights.parameters(arrays)
    first = "classifier.0.weight"
    if first in params:  # its input is flattened CHW there, HWC here
        width, channels = arrays[first].shape[0], arrays["features.28.bias"].size
        matrix = params[first].reshape(channels, -1, width)
        params[first] = matrix.swapaxes(0, 1).reshape(-1, width)
    return params


def normalise(images: Array) -> Array:
    """Images in [0, 1] by ImageNet's mean and deviation."""
    return (images - MEAN[None, None, None]) / STD[None, None, None]


def taps(params: Params, x: Array, indices: Sequence[int]) -> dict[int, Array]:
    """Outputs of the ReLUs `indices` (of `RELUS`), in one pass that ends at the last.

    `x` is normalised, `[N, H, W, 3]`, of any size that the poolings halve to 1.
    """
    if not indices or not set(indices) <= set(RELUS):
        raise UserError(f"VGG16 has no ReLU at {sorted(indices)}; they are {RELUS}")
    found: dict[int, Array] = {}
    for relu in RELUS[: RELUS.index(max(indices)) + 1]:
        if relu - 1 in _AFTER_POOLING:
            x = max_pool(x, 2, 2)
        x = conv_relu(params, f"features.{relu - 1}", x)
        if relu in indices:
            found[relu] = x
    return found


def fc2_extractor(params: Params) -> FrozenNetwork:
    """Features of improved precision and recall (Kynkäänniemi et al. 2019).

    The second dense layer after its ReLU, `[N, 4096]`. Images are resized to 224 x 224
    in TensorFlow 1's way, as torch-fidelity does (`feature_extractor_vgg16.py`,
    'fc2_relu'); not compared with NVIDIA's own VGG16.
    """

    def function(params: Params, images: Array) -> Array:
        x = resize_tf1(images.astype(jnp.float32), _FC_RESOLUTION, _FC_RESOLUTION)
        x = taps(params, normalise(x / 255), RELUS[-1:])[RELUS[-1]]
        x = max_pool(x, 2, 2).reshape(len(x), -1)
        for index in (0, 3):
            weight = params[f"classifier.{index}.weight"]
            x = jax.nn.relu(x @ weight + params[f"classifier.{index}.bias"][None])
        return x

    return FrozenNetwork("vgg16-fc2", _FC_SIZE, params, function)
