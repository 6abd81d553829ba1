"""CelebA-HQ faces at 1024 px with WGAN-GP, the loss of the paper on this data set.

The 30,000 images of CelebA-HQ in a folder, prepared once:

python -m stylegan_jax.prepare_data --data.name folder --data.path celeba-hq \
    --dest data/celebahq1024 --resolution 1024
python -m stylegan_jax.train configs/celebahq1024.py --workdir runs/celebahq1024

The loss, and learning rates of at most 0.002, are the WGAN-GP lines for CelebA-HQ in
`train.py` of NVlabs/stylegan. Unless they are switched on there, the official code
trains on this data set as on FFHQ, with the logistic loss and R1:

    --loss.objective logistic
    --optimizer.learning-rate 0.001,128:0.0015,256:0.002,512:0.003,1024:0.003

Configurations A to E of table 1 are `configs/celebahq1024.py:a` to `:e`; A, the
ProGAN of 2017, is trained for 12,000 kimg.

Source: `train.py`, NVlabs/stylegan; Karras et al. 2018, table 1 and section 2.
"""

import stylegan_jax as sg


def get_config(configuration: str = "f") -> sg.Config:
    """Configuration a to f of table 1."""
    config = sg.Config(
        model=sg.ModelConfig(resolution=1024),
        data=sg.DataConfig(name="pyramid", path="data/celebahq1024", mirror=True),
        loss=sg.LossConfig(objective="wgan_gp"),
        optimizer=sg.OptimizerConfig(
            learning_rate=sg.ByResolution(
                0.001, ((128, 0.0015), (256, 0.002), (512, 0.002), (1024, 0.002))
            )
        ),
    )
    return sg.training.configured(config, configuration, progan_kimg=12_000)
