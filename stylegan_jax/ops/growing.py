"""Blending of two resolutions in progressive growing.

`alpha` is the weight of the *new* resolution, 0 at the start of its fade-in, 1 at
the end. The official `lod` is `log2(final / resolution) + 1 - alpha` while fading,
else `log2(final / resolution)`.
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
