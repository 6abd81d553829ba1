"""Goodfellow's GAN on points: eight normal distributions on a ring, and one on a line.

python -m stylegan_jax.train configs/gan_ring.py --workdir runs/ring
python -m stylegan_jax.train configs/gan_ring.py:collapse --workdir runs/ring_collapse
python -m stylegan_jax.train configs/gan_ring.py:line --workdir runs/line
python -m stylegan_jax.train configs/gan_ring.py:theory --workdir runs/theory
python -m stylegan_jax.coverage runs/ring

`ring` finds all modes and `collapse`, which differs in one number only, does not:
the penalty on the discriminator's gradient (R1) is off, as in 2014. Both have the
non-saturating loss; minimax is `--loss.objective logistic_saturating`, and
`--schedule.d-steps 5` trains the discriminator five times for each time of the
generator. `theory` is figure 1 of the paper: latents of one number, and a discriminator
that is nearly the best at any time; its seed starts beside the data.

Source: Goodfellow et al. 2014, sections 3 and 5. The ring is the usual test of later
papers; widths and rates are ours.
"""

import dataclasses

import stylegan_jax as sg

BATCH_SIZE = 256
PANEL_KIMG = 5_000 * BATCH_SIZE / 1000  # 5,000 steps


def get_config(variant: str = "ring") -> sg.Config:
    """Variant `ring`, `collapse`, `line` or `theory`."""
    config = sg.Config(
        model=sg.ModelConfig(
            resolution=1,
            num_channels=2,
            z_dim=64,
            w_dim=64,
            mapping_layers=0,
            normalize_z=False,
            use_styles=False,
            use_noise=False,
            mlp_layers=2,
            mlp_width=128,
            mbstd_group_size=0,
        ),
        data=sg.DataConfig(name="ring", num_channels=2),
        loss=sg.LossConfig(objective="logistic", r1_gamma=0.1),
        optimizer=sg.OptimizerConfig(learning_rate=0.001, beta1=0.5, ema_kimg=0),
        schedule=sg.ScheduleConfig(
            initial_resolution=1,
            total_kimg=5 * PANEL_KIMG,
            repeats=100,
            batch_size=BATCH_SIZE,
            reset_optimizers=False,
        ),
        checkpoint=sg.CheckpointConfig(
            every_kimg=PANEL_KIMG, keep_every_kimg=PANEL_KIMG
        ),
        run=sg.RunConfig(tick_kimg=PANEL_KIMG / 5, grid_ticks=5),
    )
    if variant == "ring":
        return config
    if variant == "collapse":
        loss = dataclasses.replace(config.loss, r1_gamma=0.0)
        return dataclasses.replace(config, loss=loss)
    if variant not in ("line", "theory"):
        known = "ring, collapse, line and theory"
        raise ValueError(f"no variant {variant!r}; there are {known}")
    model = dataclasses.replace(config.model, num_channels=1)
    data = sg.DataConfig(name="gaussian", num_channels=1, points_std=0.5)
    config = dataclasses.replace(config, model=model, data=data)
    if variant == "line":
        return config
    moment = 30 * 5 * BATCH_SIZE / 1000  # 30 steps of G, 150 of D
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, z_dim=1, w_dim=1),
        loss=sg.LossConfig(objective="logistic", r1_gamma=0.003),
        optimizer=dataclasses.replace(
            config.optimizer, learning_rate=0.0002, d_rate=5.0
        ),
        schedule=dataclasses.replace(
            config.schedule, total_kimg=40 * moment, d_steps=5, repeats=30
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=moment, keep_every_kimg=moment),
        run=dataclasses.replace(config.run, tick_kimg=moment, seed=63),
    )
