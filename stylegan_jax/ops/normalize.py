"""Normalisation of activations: statistics in float32, results in the input's type.

Axes: N batch, H W pixels, C channels.
"""

import jax.numpy as jnp
from jax import Array, lax

from stylegan_jax.errors import UserError

EPSILON = 1e-8


def pixel_norm(x: Array) -> Array:
    """Scales every vector along the last axis to a mean square of 1.

    Source: `pixel_norm`, NVlabs/stylegan; Karras et al. 2017 (ProGAN), section 4.2.
    """
    y = x.astype(jnp.float32)
    y = y * lax.rsqrt(jnp.mean(jnp.square(y), axis=-1, keepdims=True) + EPSILON)
    return y.astype(x.dtype)


def instance_norm(x: Array, epsilon: float = EPSILON) -> Array:
    """Normalises each channel of `[N, H, W, C]` to mean 0 and (biased) variance 1.

    `epsilon` is added to the variance. Source: `instance_norm`, NVlabs/stylegan.
    """
    y = x.astype(jnp.float32)
    y = y - jnp.mean(y, axis=(1, 2), keepdims=True)
    y = y * lax.rsqrt(jnp.mean(jnp.square(y), axis=(1, 2), keepdims=True) + epsilon)
    return y.astype(x.dtype)


def modulate(x: Array, style: Array) -> Array:
    """Scales and shifts channels of `[N, H, W, C]`: the second half of AdaIN.

    `style` is `[N, 2C]`: the scales (added to 1), then the shifts. Source: `style_mod`,
    NVlabs/stylegan; Karras et al. 2018, equation 1.
    """
    scale, shift = jnp.split(style.astype(x.dtype)[:, None, None, :], 2, axis=-1)
    return x * (scale + 1) + shift


def minibatch_stddev(
    x: Array,
    group_size: int = 4,
    num_features: int = 1,
    *,
    strided: bool = True,
    axis_name: str | None = None,
) -> Array:
    """Appends standard deviations over groups: `[N, H, W, C + num_features]`.

    Args:
        x: `[N, H, W, C]`; the groups must divide N and the features C, else UserError.
        group_size: samples per group; the whole batch if that is smaller.
        num_features: statistics appended, each from its share of the channels.
        strided: True groups samples `i` that are equal modulo the number of groups
            (official). False groups neighbours: the same for samples in random order,
            and a group stays on one device.
        axis_name: of the devices, under `shard_map`: `x` is this device's block of
            the batch, and groups are of the whole.

    Source: `minibatch_stddev_layer`, NVlabs/stylegan; ProGAN, section 3.
    """
    n, h, w, c = x.shape
    if axis_name and (strided or n % group_size):
        whole = lax.all_gather(x, axis_name, tiled=True)
        whole = minibatch_stddev(whole, group_size, num_features, strided=strided)
        return lax.dynamic_slice_in_dim(whole, lax.axis_index(axis_name) * n, n)
    group_size = min(group_size, n)
    if n % group_size or c % num_features:
        raise UserError(
            f"minibatch standard deviation: batch {n} must be a multiple of the group "
            f"size {group_size} (or smaller), and {c} channels of {num_features} "
            "features; change the batch size or mbstd_group_size"
        )
    num_groups = n // group_size
    shape = (h, w, num_features, c // num_features)
    if strided:
        y, axis = x.reshape(group_size, num_groups, *shape), 0
    else:
        y, axis = x.reshape(num_groups, group_size, *shape), 1
    y = y.astype(jnp.float32)
    y = y - y.mean(axis=axis, keepdims=True)
    y = jnp.sqrt(jnp.square(y).mean(axis=axis) + EPSILON)  # [M, H, W, F, C/F]
    y = y.mean(axis=(1, 2, 4)).astype(x.dtype)  # [M, F]
    y = jnp.tile(y, (group_size, 1)) if strided else jnp.repeat(y, group_size, axis=0)
    y = jnp.broadcast_to(y[:, None, None, :], (n, h, w, num_features))
    return jnp.concatenate([x, y], axis=-1)
