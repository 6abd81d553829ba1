"""CIFAR-10 by class at 32 px: full widths, for one GPU.

TFDS makes the data once, where TensorFlow is installed:

python -c "import tensorflow_datasets as tfds; \
    tfds.builder('cifar10', file_format='array_record').download_and_prepare()"
python -m stylegan_jax.train configs/cifar10.py --workdir runs/cifar10
python -m stylegan_jax.sample runs/cifar10 --class 3 --outdir cats

The paper has no CIFAR-10. Growing, learning rate and minibatches are the official
ones of NVlabs/stylegan; the weight of R1 and the length of the run are ours. Without
classes: `--data.labels none`.
"""

from stylegan_jax.data.config import DataConfig
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.config import Config
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig


def get_config() -> Config:
    """The configuration."""
    return Config(
        model=ModelConfig(resolution=32),
        data=DataConfig(name="tfds:cifar10", labels="label", mirror=True),
        loss=LossConfig(r1_gamma=1.0),
        schedule=ScheduleConfig(total_kimg=12_000),
    )
