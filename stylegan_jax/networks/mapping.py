"""Mapping network: input latent z to intermediate latent w."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.layers import EqualizedDense, leaky_relu
from stylegan_jax.ops import normalize


class MappingNetwork(nn.Module):
    """Fully connected layers from z (and class labels) to w; always float32.

    Source: `G_mapping`, NVlabs/stylegan, without its broadcast to the synthesis layers.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, z: Array, labels: Array | None = None) -> Array:
        """`z` `[N, z_dim]` and `labels` `[N, label_size]` to w, `[N, w_dim]`."""
        config = self.config
        x = jnp.asarray(z, jnp.float32)
        if config.label_size:
            assert labels is not None
            y = jnp.asarray(labels, jnp.float32)
            if config.embed_labels:
                y = _LabelEmbedding(config.z_dim, name="label_concat")(y)
            x = jnp.concatenate([x, y], axis=-1)
        if config.normalize_z:
            x = normalize.pixel_norm(x)
        for i in range(config.mapping_layers):
            last = i == config.mapping_layers - 1
            x = EqualizedDense(
                config.w_dim if last else config.mapping_width,
                lr_multiplier=config.mapping_lr_multiplier,
                name=f"dense{i}",
            )(x)
            x = leaky_relu(x)
        return x


class _LabelEmbedding(nn.Module):
    """Label embedding, not scaled at run time. Source: `LabelConcat`."""

    features: int

    @nn.compact
    def __call__(self, labels: Array) -> Array:
        shape = (labels.shape[-1], self.features)
        return labels @ self.param("weight", nn.initializers.normal(1.0), shape)
