"""DiffAugment: colour, translation and cutout of every image.

Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN
Training", and its public code's policy `color,translation,cutout`.
"""

import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.augment import color
from stylegan_jax.augment.values import Values


def draw(key: Array, shape: tuple[int, ...]) -> Values:
    """Draws values for images of shape `[N, H, H, C]`.

    `light`, `vividness`, `spread` and `cutout` are `[N]`, `shift` (x and y, whole
    pixels) and `cutout_center` `[N, 2]`.
    """
    count, size = shape[:2]
    keys = jax.random.split(key, 5)
    reach = int(size / 8 + 0.5)
    # The square's centre is a pixel corner, the image's edges included.
    corners = jax.random.randint(keys[4], (count, 2), 0, size + 1)
    return {
        "light": jax.random.uniform(keys[0], (count,), minval=-0.5, maxval=0.5),
        "vividness": jax.random.uniform(keys[1], (count,), minval=0, maxval=2),
        "spread": jax.random.uniform(keys[2], (count,), minval=0.5, maxval=1.5),
        "shift": jax.random.randint(keys[3], (count, 2), -reach, reach + 1),
        "cutout": jnp.full(count, 0.5),
        "cutout_center": corners / size,
    }


def recolor(images: Array, values: Values) -> Array:
    """Brightness, saturation and contrast; a second or fourth channel is alpha."""
    colors = 3 if images.shape[3] >= 3 else 1
    light, vividness, spread = (
        values[name][:, None, None, None] for name in ("light", "vividness", "spread")
    )
    x = images[..., :colors] + light
    gray = x.mean(axis=3, keepdims=True)
    x = (x - gray) * vividness + gray
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    x = (x - mean) * spread + mean
    return jnp.concatenate([x, images[..., colors:]], axis=-1)


def translate(images: Array, shift: Array) -> Array:
    """Moves images by whole pixels, `shift` `[N, 2]` (x and y), zeros beyond."""
    size = images.shape[1]
    at = jnp.arange(size)
    behind = at[None, :, None] - at[None, None, :]  # of input pixel behind output
    columns, rows = (
        (behind == shift[:, i, None, None]).astype(jnp.float32) for i in (0, 1)
    )
    return color.along_both(images, rows, columns)
