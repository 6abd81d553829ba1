"""The paper's ablation in small: configurations A to F at 32 px, on a CPU.

for x in a b c d e f; do
    python -m stylegan_jax.train configs/ablation32.py:$x --workdir runs/ablation_$x
done

or F alone:

python -m stylegan_jax.train configs/ablation32.py --workdir runs/ablation_f

Networks, data and minibatches are the quickstart's, and all six see equally many
images of the built-in portraits. A grows from 4 px on, as ProGAN does.

Source: Karras et al. 2018, table 1.
"""

import stylegan_jax as sg


def get_config(configuration: str = "f") -> sg.Config:
    """Configuration a to f of table 1."""
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
        ),
        data=sg.DataConfig(name="portraits", portraits_size=5_000, mirror=True),
        loss=sg.LossConfig(r1_gamma=1.0),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, ema_kimg=2),
        schedule=sg.ScheduleConfig(
            stable_kimg=8,
            fade_kimg=8,
            total_kimg=100,
            batch_size=16,
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=20),
        run=sg.RunConfig(tick_kimg=4.0),
    )
    return sg.training.configured(config, configuration)
