"""Portraits, or photographs of your own, at 64 px on a CPU or a small GPU.

python -m stylegan_jax.train configs/portraits64.py --workdir runs/portraits64
python -m stylegan_jax.train configs/portraits64.py --workdir runs/photos \
    --data.path PHOTOS
"""

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.data.config import DataConfig
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig


def get_config() -> Config:
    """The configuration."""
    return Config(
        model=ModelConfig(
            resolution=64,
            z_dim=128,
            w_dim=128,
            mapping_width=128,
            mapping_layers=2,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=1024,
            channel_max=64,
        ),
        data=DataConfig(name="portraits", mirror=True),
        loss=LossConfig(r1_gamma=2.0, style_mixing=0.5),
        optimizer=OptimizerConfig(learning_rate=ByResolution(0.002), ema_kimg=3),
        schedule=ScheduleConfig(
            stable_kimg=10,
            fade_kimg=10,
            total_kimg=160,
            batch_size=ByResolution(16),
        ),
        checkpoint=CheckpointConfig(every_kimg=10, keep_every_kimg=20),
        run=RunConfig(tick_kimg=ByResolution(2.0)),
    )
