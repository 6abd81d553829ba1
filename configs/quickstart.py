"""The built-in portraits at 32 px, small enough for two CPU cores in minutes.

python -m stylegan_jax.train configs/quickstart.py --workdir runs/quickstart
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(
            resolution=32,
            z_dim=128,
            w_dim=128,
            mapping_width=128,
            mapping_layers=2,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=512,
            channel_max=64,
        ),
        data=sg.DataConfig(name="portraits", portraits_size=5_000, mirror=True),
        loss=sg.LossConfig(r1_gamma=1.0, style_mixing=0.5),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, ema_kimg=2),
        schedule=sg.ScheduleConfig(
            stable_kimg=8,
            fade_kimg=8,
            total_kimg=90,
            batch_size=16,
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=20),
        run=sg.RunConfig(tick_kimg=2.0),
    )
