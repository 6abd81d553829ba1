"""The feature network that comes with the package: three convolutions, no download.

It is a classifier of drawn portraits, photographs of clothes and faces, and of what
distorts them (`benchmarks/perceptual.py`), trained at 32 px. Images are
`[N, H, W, 3]` in [-1, 1] of any size from 4 px.
"""

from pathlib import Path

import jax.numpy as jnp
from jax import Array

from stylegan_jax.features import weights
from stylegan_jax.features.extractor import Params
from stylegan_jax.features.frozen_layers import conv_relu, max_pool

NAME = "included"
FILE = Path(__file__).parents[1] / "pretrained" / "perceptual.safetensors"

_LAYERS = 3
# Added to the mean square of a pixel's features, which is 1 on the average: where they
# are weak, as in black, differences count less.
_FLOOR = 0.01


def load() -> dict[str, Array]:
    """Parameters of the convolutions, `conv0.weight` `[3, 3, 3, 32]` and so on."""
    arrays = weights.read(FILE)
    return {
        name: jnp.asarray(array, jnp.float32)
        for name, array in arrays.items()
        if name.startswith("conv")
    }


def features(params: Params, images: Array) -> tuple[Array, ...]:
    """ReLUs of all layers, `[N, h, w, C]`, over their root mean square in each pixel.

    The normalisation is that of LPIPS (Zhang et al. 2018): half of the mean squared
    difference of two results is 1 less the mean cosine of their pixels.
    """
    found, x = [], images
    for index in range(_LAYERS):
        x = conv_relu(params, f"conv{index}", x)
        square = jnp.mean(x * x, -1, keepdims=True)
        found.append(x * (square + _FLOOR) ** -0.5)
        x = max_pool(x, 2, 2)
    return tuple(found)
