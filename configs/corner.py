"""Why a mapping network: two factors, of which one combination is missing.

python -m stylegan_jax.train configs/corner.py --workdir runs/corner_mapping
python -m stylegan_jax.train configs/corner.py:plain --workdir runs/corner_plain
python -m stylegan_jax.figures disentanglement runs/corner_mapping \
    --beside runs/corner_plain --outdir figures

Points in a square without one quadrant. `mapping` has a mapping network from z to w and
`plain` has none; latents are of two numbers, so that they can be drawn.

Source: Karras et al. 2018, figure 6, which is a sketch. Widths and rates are ours.
"""

import dataclasses

import stylegan_jax as sg

BATCH_SIZE = 256


def get_config(variant: str = "mapping") -> sg.Config:
    """Variant `mapping` or `plain`."""
    config = sg.Config(
        model=sg.ModelConfig(
            resolution=1,
            num_channels=2,
            z_dim=2,
            w_dim=2,
            mapping_layers=4,
            mapping_width=64,
            mapping_lr_multiplier=1.0,
            normalize_z=False,
            use_styles=False,
            use_noise=False,
            mlp_layers=2,
            mlp_width=128,
            mbstd_group_size=0,
        ),
        data=sg.DataConfig(name="corner", num_channels=2),
        loss=sg.LossConfig(objective="logistic", r1_gamma=0.1),
        optimizer=sg.OptimizerConfig(learning_rate=0.001, beta1=0.5, ema_kimg=50),
        schedule=sg.ScheduleConfig(
            initial_resolution=1,
            total_kimg=15_000 * BATCH_SIZE / 1000,
            repeats=100,
            batch_size=BATCH_SIZE,
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=500),
        run=sg.RunConfig(tick_kimg=250, grid_ticks=5),
    )
    if variant == "mapping":
        return config
    if variant == "plain":
        model = dataclasses.replace(config.model, mapping_layers=0)
        return dataclasses.replace(config, model=model)
    raise ValueError(f"no variant {variant!r}; there are mapping and plain")
