"""Some hundred or thousand photographs of your own, at 128 px on one GPU.

python -m stylegan_jax.train configs/few_photos.py --workdir runs/photos \
    --data.path PHOTOS --init NETWORK

Adaptive augmentation, and a tenth of the photographs held out, so that overfitting
shows (`python -m stylegan_jax.figures overfitting runs/photos`). With `--init` the
networks are those of NETWORK, and training begins at its resolution.
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(resolution=128, channel_base=4096, channel_max=256),
        data=sg.DataConfig(name="portraits", holdout=0.1),
        loss=sg.LossConfig(r1_gamma=1.0),
        optimizer=sg.OptimizerConfig(learning_rate=0.002),
        schedule=sg.ScheduleConfig(
            stable_kimg=100, fade_kimg=100, total_kimg=2_000, batch_size="32,128:16"
        ),
        augment=sg.AugmentConfig(mode="ada"),
        checkpoint=sg.CheckpointConfig(every_kimg=20, keep_every_kimg=100),
        run=sg.RunConfig(tick_kimg=4.0),
    )
