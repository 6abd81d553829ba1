"""Portraits, or photographs of your own, at 64 px on a CPU or a small GPU.

python -m stylegan_jax.train configs/portraits64.py --workdir runs/portraits64
python -m stylegan_jax.train configs/portraits64.py --workdir runs/photos \
    --data.path PHOTOS
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(
            resolution=64,
            z_dim=128,
            w_dim=128,
            mapping_width=128,
            mapping_layers=2,  # eight at a hundredth of the rate learn too slowly
            mapping_lr_multiplier=0.1,
            channel_base=1024,
            channel_max=64,
        ),
        data=sg.DataConfig(name="portraits", mirror=True),
        loss=sg.LossConfig(r1_gamma=2.0, style_mixing=0.5),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, ema_kimg=3),
        schedule=sg.ScheduleConfig(
            stable_kimg=10,
            fade_kimg=10,
            total_kimg=160,
            batch_size=16,
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=10, keep_every_kimg=20),
        run=sg.RunConfig(tick_kimg=2.0),
    )
