"""From 2014 to StyleGAN at 32 px: four networks see equally many portraits, on a CPU.

for x in gan dcgan progan stylegan; do
    python -m stylegan_jax.train configs/family32.py:$x --workdir runs/$x
done

or StyleGAN alone, and ProGAN at full size from the start:

python -m stylegan_jax.train configs/family32.py --workdir runs/stylegan
python -m stylegan_jax.train configs/family32.py:progan --workdir runs/fixed \
    --schedule.initial-resolution 32

`gan` is two multi-layer perceptrons, `dcgan` convolutional networks of one size,
`progan` grows from 4 px, with WGAN-GP and pixel norm, `stylegan` grows from 8 px.

Source: Goodfellow et al. 2014; Radford et al. 2015; Karras et al. 2017; Karras et al.
2018. Differs: all have an equalised learning rate and an averaged generator. `gan` and
`dcgan` have a penalty on the discriminator's gradient (R1) and leaky ReLU, `gan` no
maxout and dropout, `dcgan` no batch norm.
"""

import dataclasses

import stylegan_jax as sg

MEMBERS = ("gan", "dcgan", "progan", "stylegan")


def get_config(member: str = "stylegan") -> sg.Config:
    """Member `gan`, `dcgan`, `progan` or `stylegan`."""
    config = sg.Config(
        model=sg.ModelConfig(
            resolution=32,
            z_dim=128,
            w_dim=128,
            mapping_width=128,
            mapping_layers=2,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=512,
            channel_max=64,
            mlp_width=512,
        ),
        data=sg.DataConfig(name="portraits", portraits_size=2_000, mirror=True),
        loss=sg.LossConfig(r1_gamma=0.1),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, ema_kimg=1),
        schedule=sg.ScheduleConfig(
            stable_kimg=1, fade_kimg=1, total_kimg=16, batch_size=8
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=2, keep_every_kimg=2),
        run=sg.RunConfig(tick_kimg=1, grid_ticks=4),
    )
    if member == "stylegan":
        return config
    progan = sg.training.configured(config, "a")
    if member == "progan":
        return progan
    if member not in MEMBERS:
        known = ", ".join(MEMBERS)
        raise ValueError(f"no member {member!r} of the family; there are {known}")
    perceptrons = {"mlp_layers": 2} if member == "gan" else {}
    return dataclasses.replace(
        progan,
        model=dataclasses.replace(
            progan.model,
            use_pixel_norm=False,
            mbstd_group_size=0,
            **perceptrons,
        ),
        loss=config.loss,
        optimizer=dataclasses.replace(config.optimizer, beta1=0.5),
        schedule=dataclasses.replace(config.schedule, initial_resolution=32),
    )
