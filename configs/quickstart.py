"""The built-in portraits at 32 px, small enough for two CPU cores in minutes.

python -m stylegan_jax.train configs/quickstart.py --workdir runs/quickstart
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
            resolution=32,
            z_dim=128,
            w_dim=128,
            mapping_width=128,
            mapping_layers=2,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=512,
            channel_max=64,
        ),
        data=DataConfig(name="portraits", portraits_size=5_000, mirror=True),
        loss=LossConfig(r1_gamma=1.0, style_mixing=0.5),
        optimizer=OptimizerConfig(learning_rate=ByResolution(0.002), ema_kimg=2),
        schedule=ScheduleConfig(
            stable_kimg=8,
            fade_kimg=8,
            total_kimg=90,
            batch_size=ByResolution(16),
        ),
        checkpoint=CheckpointConfig(every_kimg=20),
        run=RunConfig(tick_kimg=ByResolution(2.0)),
    )
