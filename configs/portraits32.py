"""The built-in portraits at 32 px, trained for hours on two CPU cores.

python -m stylegan_jax.train configs/portraits32.py --workdir runs/portraits32
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
            mapping_layers=4,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=1024,
            channel_max=64,
        ),
        data=sg.DataConfig(name="portraits", portraits_size=50_000),
        loss=sg.LossConfig(r1_gamma=1.0),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, ema_kimg=5),
        schedule=sg.ScheduleConfig(
            stable_kimg=12,
            fade_kimg=12,
            total_kimg=600,
            batch_size=16,
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=20, keep_every_kimg=40),
        run=sg.RunConfig(tick_kimg=5.0, grid_ticks=4),
    )
