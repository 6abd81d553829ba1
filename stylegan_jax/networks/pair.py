"""Network modules of a configuration."""

import flax.linen as nn

from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.mlp import MLPDiscriminator, MLPSynthesis
from stylegan_jax.networks.synthesis import SynthesisNetwork


def synthesis_network(config: ModelConfig) -> nn.Module:
    """The module `(ws, noise, *, resolution, alpha=None) -> images`."""
    return MLPSynthesis(config) if config.mlp_layers else SynthesisNetwork(config)


def discriminator_network(
    config: ModelConfig, *, strided_groups: bool = True, axis_name: str | None = None
) -> nn.Module:
    """The module `(images, labels=None, *, alpha=None) -> logits`."""
    if config.mlp_layers:
        return MLPDiscriminator(config)
    return Discriminator(config, strided_groups, axis_name)
