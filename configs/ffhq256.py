"""FFHQ faces at 256 px: configuration F of Karras et al. 2018 at a lower resolution.

The 70,000 images `images1024x1024` of the FFHQ data set, prepared once (shrinking is
by box means):

python -m stylegan_jax.prepare_data --data.name folder --data.path images1024x1024 \
    --dest data/ffhq256 --resolution 256
python -m stylegan_jax.train configs/ffhq256.py --workdir runs/ffhq256

The images prepared for `ffhq1024.py` serve as well (`--data.path data/ffhq1024`).
Tables by resolution are the official ones for 8 GPUs; growing ends at 6,000 kimg.

Source: `train.py`, NVlabs/stylegan.
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(resolution=256),
        data=sg.DataConfig(name="pyramid", path="data/ffhq256", mirror=True),
    )
