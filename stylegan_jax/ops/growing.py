"""Progressive growing: blending two resolutions.

`alpha` is the weight of the *new* resolution, 0 at the start of its fade-in, 1 at
the end. The official `lod` is `log2(final / resolution) + 1 - alpha` while fading
and `log2(final / resolution)` when nothing fades.
"""

import jax.numpy as jnp
from jax import Array

from stylegan_jax.ops import resample
from stylegan_jax.ops.latents import lerp


def fade_reals(images: Array, alpha: Array | float) -> Array:
    """Blends images with their own half-resolution version, `[N, H, W, C]`.

    What real images look like to a discriminator whose generator is fading in.
    Source: "FadeLOD" in `process_reals`, NVlabs/stylegan, `training_loop.py`.
    """
    coarse = resample.upsample(resample.downsample(images))
    return lerp(coarse, images, jnp.asarray(alpha, images.dtype))
