"""MNIST digits by class, grey at 32 px: a conditional network for a CPU.

The 28 px digits are padded with black to 32 px, as in NVlabs/stylegan
(`create_mnist`). TFDS makes the data once, where TensorFlow is installed:

python -c "import tensorflow_datasets as tfds; \
    tfds.builder('mnist', file_format='array_record').download_and_prepare()"
python -m stylegan_jax.train configs/mnist.py --workdir runs/mnist
python -m stylegan_jax.sample runs/mnist --class 7 --outdir sevens

The paper has no MNIST: widths, R1 weight and schedule are ours.
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
            num_channels=1,
            z_dim=64,
            w_dim=64,
            mapping_layers=2,
            mapping_width=64,
            mapping_lr_multiplier=0.1,
            channel_base=1024,
            channel_max=64,
        ),
        data=DataConfig(name="tfds:mnist", labels="label", num_channels=1),
        loss=LossConfig(r1_gamma=1.0),
        optimizer=OptimizerConfig(learning_rate=ByResolution(0.002), ema_kimg=2),
        schedule=ScheduleConfig(
            stable_kimg=20,
            fade_kimg=20,
            total_kimg=300,
            batch_size=ByResolution(32),
        ),
        checkpoint=CheckpointConfig(every_kimg=20),
        run=RunConfig(tick_kimg=ByResolution(5.0)),
    )
