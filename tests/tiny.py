"""Small networks that many tests train, save and load."""

from stylegan_jax.networks.config import ModelConfig

# 16 px, with a mapping of two layers.
MODEL = ModelConfig(
    resolution=16,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=2,
    channel_base=128,
    channel_max=8,
)
