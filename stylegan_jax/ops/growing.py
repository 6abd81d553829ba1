"""Blending of two resolutions in progressive growing.

`alpha` is the weight of the *new* resolution, from 0 to 1. The official `lod` is
`log2(final / resolution)`, plus `1 - alpha` while fading.
"""

import jax.numpy as jnp
from jax import Array

from stylegan_jax.ops import resample
from stylegan_jax.ops.latents import lerp


def fade_reals(images: Array, alpha: Array | float) -> Array:
    """Blends real images `[N, H, W, C]` with their own half-resolution version.

    Source: "FadeLOD" in `process_reals`, NVlabs/stylegan, `training_loop.py`.
    """
    coarse = resample.upsample(resample.downsample(images))
    return lerp(coarse, images, jnp.asarray(alpha, images.dtype))
