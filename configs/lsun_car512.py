"""LSUN cars at 512 px, 46,000 kimg.

LSUN comes as an LMDB; `data.py export` of github.com/fyu/lsun writes its images
into folders. The paper shows 512x384 pictures on a square of 512 with black bars above
and below (`create_lsun_wide` in NVlabs/stylegan). Preparing cuts central squares, so
put the bars around the images beforehand to train on the same. Prepared once:

python -m stylegan_jax.prepare_data --data.name folder --data.path car_images \
    --dest data/lsun_car512 --resolution 512
python -m stylegan_jax.train configs/lsun_car512.py --workdir runs/lsun_car512

Not mirrored, as all of LSUN in the official code. Tables by resolution are the
official ones for 8 GPUs.

Source: `train.py`, NVlabs/stylegan; the length is that of the paper.
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(resolution=512),
        data=sg.DataConfig(name="pyramid", path="data/lsun_car512"),
        schedule=sg.ScheduleConfig(total_kimg=46_000),
    )
