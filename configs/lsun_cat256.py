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

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(resolution=256),
        data=sg.DataConfig(name="pyramid", path="data/lsun_cat256"),
        schedule=sg.ScheduleConfig(total_kimg=70_000),
    )
