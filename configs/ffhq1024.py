"""FFHQ faces at 1024 px: configuration F of Karras et al. 2018, table 1.

The 70,000 images `images1024x1024` of the FFHQ data set, prepared once:

python -m stylegan_jax.prepare_data --data.name folder --data.path images1024x1024 \
    --dest data/ffhq1024 --resolution 1024
python -m stylegan_jax.train configs/ffhq1024.py --workdir runs/ffhq1024

Everything is the default of this package, which is the official one for 8 GPUs:
non-saturating logistic loss, R1 with 10, 25,000 kimg, minibatches of 32 from 128 px
on. For one GPU the official minibatches are

    --schedule.batch-size 4,4:128,8:128,16:128,32:64,64:32,128:16,256:8

Configurations A to E of the same table, from ProGAN on, are `configs/ffhq1024.py:a`
to `:e`; A is trained for 12,000 kimg.

Source: `train.py`, NVlabs/stylegan; Karras et al. 2018, table 1 and section 2.
"""

import stylegan_jax as sg


def get_config(configuration: str = "f") -> sg.Config:
    """Configuration a to f of table 1."""
    config = sg.Config(
        model=sg.ModelConfig(resolution=1024),
        data=sg.DataConfig(name="pyramid", path="data/ffhq1024", mirror=True),
    )
    return sg.training.configured(config, configuration, progan_kimg=12_000)
