"""Layers with equalised learning rate (weights scaled at run time).

Parameters are stored raw, as the official variables are: standard deviation
`1 / lr_multiplier`, times `gain * lr_multiplier / sqrt(fan_in)` on use.

Source: `get_weight` with `use_wscale=True`, NVlabs/stylegan, `networks_stylegan.py`;
Karras et al. 2017 (ProGAN), section 4.1.
"""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.ops import convolution, normalize, resample

LayerKind = Literal["const", "dense", "conv", "up"]

HE_GAIN = math.sqrt(2.0)  # before a leaky ReLU; 1 before nothing
# What `StyledLayer` sows, in order, for `Generator.layer_steps`.
STEPS = ("weights", "scaled_noise", "noisy", "activated", "normalised", "styled")


def leaky_relu(x: Array) -> Array:
    """Leaky ReLU of slope 0.2, without output gain. Source: `leaky_relu`."""
    return jax.nn.leaky_relu(x, 0.2)


def scaled_weight(
    module: nn.Module,
    shape: tuple[int, ...],
    gain: float,
    lr_multiplier: float = 1.0,
) -> Array:
    """Parameter `weight` of the module, scaled for use; float32."""
    init = nn.initializers.normal(1.0 / lr_multiplier)
    weight = module.param("weight", init, shape)
    return weight * (gain * lr_multiplier / math.sqrt(math.prod(shape[:-1])))


class EqualizedDense(nn.Module):
    """Dense layer: `[N, D]` to `[N, features]`, in the input's type."""

    features: int
    gain: float = HE_GAIN
    lr_multiplier: float = 1.0  # 0.01 in the mapping network; the bias has it too

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Applies the layer."""
        shape = (x.shape[-1], self.features)
        weight = scaled_weight(self, shape, self.gain, self.lr_multiplier)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        bias = (bias * self.lr_multiplier)[None, :]
        return x @ weight.astype(x.dtype) + bias.astype(x.dtype)


class EqualizedConv(nn.Module):
    """3x3 convolution and bias: `[N, H, W, C]` to `[N, H, W, features]`."""

    features: int
    down: bool = False  # blurs before and halves the resolution
    blur: bool = True  # False leaves the blur out (ProGAN)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Applies the layer."""
        weight = scaled_weight(self, (3, 3, x.shape[-1], self.features), HE_GAIN)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        if self.down:
            x = resample.blur(x) if self.blur else x
            x = resample.conv_downsample(x, weight.astype(x.dtype))
        else:
            x = convolution.conv(x, weight.astype(x.dtype))
        return x + bias.astype(x.dtype)[None, None, None, :]


class PixelwiseDense(nn.Module):
    """1x1 convolution and bias, summed in float32: ToRGB and FromRGB."""

    features: int
    gain: float  # 1 for ToRGB, sqrt(2) for FromRGB

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C]` to float32 `[N, H, W, features]`."""
        shape = (1, 1, x.shape[-1], self.features)
        weight = scaled_weight(self, shape, self.gain)[0, 0]
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        y = jnp.einsum(
            "nhwc,cf->nhwf",
            x,
            weight.astype(x.dtype),
            preferred_element_type=jnp.float32,
        )
        return y + bias[None, None, None, :]


class StyledLayer(nn.Module):
    """Synthesis layer with noise and style.

    Order: weights, noise, bias, leaky ReLU, normalisation, style. With
    `bias_before_blur`, the bias of `up` comes between its convolution and its blur.
    `kind` is `const` (a learned 4x4 image), `dense` (4x4 from w), `conv`, or `up`
    (convolution to twice the resolution, then a blur). Steps are sown in the collection
    `intermediates`, which is not computed unless it is asked for.

    Source: `layer_epilogue` in `G_synthesis`, NVlabs/stylegan.
    """

    config: ModelConfig
    features: int
    kind: LayerKind

    @nn.compact
    def __call__(self, x: Array | None, w: Array, noise: Array | None) -> Array:
        """`[N, H, W, C]` (None for `const` and `dense`) to `[N, H', W', features]`.

        `w` is `[N, w_dim]`, `noise` `[N or 1, H', W', 1]` or None.
        """
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        zeros = nn.initializers.zeros_init()
        y = self._weights(x, w).astype(dtype)
        self.sow("intermediates", "weights", y)
        if config.use_noise:
            if noise is None:
                raise UserError(
                    f"layer {self.path} needs noise of {y.shape[1]} px; pass one array "
                    "per layer (ops.latents.draw_noise)"
                )
            strength = self.param("noise_weight", zeros, (self.features,))
            scaled = noise.astype(dtype) * strength.astype(dtype)[None, None, None, :]
            self.sow("intermediates", "scaled_noise", scaled)
            y = y + scaled
            self.sow("intermediates", "noisy", y)
        y = leaky_relu(y if self._bias_is_early else self._add_bias(y))
        self.sow("intermediates", "activated", y)
        if config.use_pixel_norm:
            y = normalize.pixel_norm(y)
        if config.use_instance_norm:
            y = normalize.instance_norm(y, config.instance_norm_epsilon)
        if config.use_pixel_norm or config.use_instance_norm:
            self.sow("intermediates", "normalised", y)
        if config.use_styles:
            style = EqualizedDense(2 * self.features, gain=1.0, name="style")(w)
            y = normalize.modulate(y, style)
            self.sow("intermediates", "styled", y)
        return y

    def _weights(self, x: Array | None, w: Array) -> Array:
        if self.kind == "const":
            shape = (1, 4, 4, self.features)
            const = self.param("const", nn.initializers.ones_init(), shape)
            return jnp.broadcast_to(const, (w.shape[0], *shape[1:]))
        if self.kind == "dense":
            # The gain is a quarter of the usual one, as in the original ProGAN.
            shape = (w.shape[-1], 16 * self.features)
            y = w @ scaled_weight(self, shape, HE_GAIN / 4)
            return y.reshape(-1, 4, 4, self.features)
        assert x is not None
        weight = scaled_weight(self, (3, 3, x.shape[-1], self.features), HE_GAIN)
        weight = weight.astype(x.dtype)
        if self.kind == "conv":
            return convolution.conv(x, weight)
        fused = 2 * x.shape[1] >= self.config.fused_from
        y = resample.upsample_conv(x, weight, fused=fused)
        y = self._add_bias(y) if self._bias_is_early else y
        return resample.blur(y) if self.config.blur else y

    @property
    def _bias_is_early(self) -> bool:
        return self.config.bias_before_blur and self.kind == "up"

    def _add_bias(self, y: Array) -> Array:
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return y + bias.astype(y.dtype)[None, None, None, :]
