"""Augmentation pipeline: images and drawn values to augmented images."""

import jax.numpy as jnp
from jax import Array

from stylegan_jax.augment import color, diffaugment, geometry
from stylegan_jax.augment.values import GROUPS, Values

_MOVING = (*GROUPS["blit"], *GROUPS["geom"], "rotate_after")


def augment(images: Array, values: Values) -> Array:
    """Augmented images, `[N, H, H, C]` in [-1, 1]; alpha is last of 2 or 4 channels.

    Affine in the images, so that derivatives of any order are cheap. Images without
    augmentation come back bitwise. `values` are from `values.draw` or
    `diffaugment.draw`.
    """
    images = images.astype(jnp.float32)
    moving = {name: values[name] for name in _MOVING if name in values}
    if moving:
        transforms = geometry.matrices(moving, images.shape[1])
        images = geometry.warp(images, transforms)
    coloring = {name: values[name] for name in GROUPS["color"] if name in values}
    if coloring:
        images = color.recolor(images, color.color_matrices(coloring))
    if "imgfilter" in values:
        images = color.amplify(images, values["imgfilter"])
    if "noise" in values:
        sigma = values["noise"][:, None, None, None]
        noisy = images + sigma * values["noise_map"]
        images = jnp.where(sigma == 0, images, noisy)
    if "shift" in values:
        images = diffaugment.recolor(images, values)
        images = diffaugment.translate(images, values["shift"])
    if "cutout" in values:
        images = color.cut_out(images, values["cutout"], values["cutout_center"])
    return images
