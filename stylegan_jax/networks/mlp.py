"""Multi-layer perceptrons as synthesis network and discriminator.

Goodfellow et al. 2014, section 5, with the signatures of the convolutional networks.
Differs: equalised learning rate and leaky ReLU; the paper has rectifiers, and maxout
with dropout. Images end in a sigmoid, stretched to [-1, 1]; points are linear.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.layers import EqualizedDense, leaky_relu


class MLPSynthesis(nn.Module):
    """Images or points from one latent; has no noise and does not grow."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        ws: Array,
        noise: Sequence[Array],
        *,
        resolution: int,
        alpha: Array | None = None,
    ) -> Array:
        """Float32 `[N, R, R, num_channels]`; R must be the final resolution."""
        config = self.config
        _check_grown(config, resolution, alpha)
        shape = (resolution, resolution, config.num_channels)
        x = _hidden_layers(config, ws[:, 0])
        x = EqualizedDense(resolution**2 * shape[2], gain=1.0, name="output")(x)
        x = x.astype(jnp.float32).reshape(-1, *shape)
        return x if resolution == 1 else 2 * nn.sigmoid(x) - 1


class MLPDiscriminator(nn.Module):
    """Discriminator of images or points."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        images: Array,
        labels: Array | None = None,
        *,
        alpha: Array | None = None,
    ) -> Array:
        """Float32 logits `[N]`; UserError unless images have the final resolution."""
        _check_grown(self.config, images.shape[1], alpha)
        x = _hidden_layers(self.config, images.reshape(images.shape[0], -1))
        x = EqualizedDense(1, gain=1.0, name="output")(x)
        return x.astype(jnp.float32)[:, 0]


def _hidden_layers(config: ModelConfig, x: Array) -> Array:
    x = x.astype(config.dtype)
    for i in range(config.mlp_layers):
        x = leaky_relu(EqualizedDense(config.mlp_width, name=f"dense{i}")(x))
    return x


def _check_grown(config: ModelConfig, resolution: int, alpha: Array | None) -> None:
    if resolution != config.resolution or alpha is not None:
        raise UserError(
            f"a multi-layer perceptron of {config.resolution} px does not grow; it was "
            f"asked for {resolution} px: set schedule.initial_resolution to its size"
        )
