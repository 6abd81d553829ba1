"""The built-in portraits at 32 px, trained for hours on two CPU cores.

python -m stylegan_jax.train configs/portraits32.py --workdir runs/portraits32
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
            mapping_layers=4,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=1024,
            channel_max=64,
        ),
        data=DataConfig(name="portraits", portraits_size=50_000),
        loss=LossConfig(r1_gamma=1.0),
        optimizer=OptimizerConfig(learning_rate=ByResolution(0.002), ema_kimg=5),
        schedule=ScheduleConfig(
            stable_kimg=12,
            fade_kimg=12,
            total_kimg=600,
            batch_size=ByResolution(16),
        ),
        checkpoint=CheckpointConfig(every_kimg=20, keep_every_kimg=40),
        run=RunConfig(tick_kimg=ByResolution(5.0), grid_ticks=4),
    )
