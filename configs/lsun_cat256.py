"""LSUN cats at 256 px, 70,000 kimg.

LSUN comes as an LMDB; `data.py export` of github.com/fyu/lsun writes its images
into folders. Their central squares, prepared once:

python -m stylegan_jax.prepare_data --data.name folder --data.path cat_images \
    --dest data/lsun_cat256 --resolution 256
python -m stylegan_jax.train configs/lsun_cat256.py --workdir runs/lsun_cat256

Not mirrored, as all of LSUN in the official code. Tables by resolution are the
official ones for 8 GPUs.

Source: `train.py`, NVlabs/stylegan; the length is that of the paper.
"""

from stylegan_jax.data.config import DataConfig
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import ScheduleConfig


def get_config() -> Config:
    """The configuration."""
    return Config(
        model=ModelConfig(resolution=256),
        data=DataConfig(name="pyramid", path="data/lsun_cat256"),
        schedule=ScheduleConfig(total_kimg=70_000),
    )
