"""MNIST digits by class, grey at 32 px: a conditional network for a CPU.

The 28 px digits are padded with black to 32 px, as in NVlabs/stylegan
(`create_mnist`). TFDS makes the data once, where TensorFlow is installed:

python -c "import tensorflow_datasets as tfds; \
    tfds.builder('mnist', file_format='array_record').download_and_prepare()"
python -m stylegan_jax.train configs/mnist.py --workdir runs/mnist
python -m stylegan_jax.sample runs/mnist --class 7 --outdir sevens

The paper has no MNIST: widths, R1 weight and schedule are ours.
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(
            resolution=32,
            num_channels=1,
            z_dim=64,
            w_dim=64,
            mapping_layers=2,
            mapping_width=64,
            mapping_lr_multiplier=0.1,
            channel_base=1024,
            channel_max=64,
        ),
        data=sg.DataConfig(name="tfds:mnist", labels="label", num_channels=1),
        loss=sg.LossConfig(r1_gamma=1.0),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, ema_kimg=2),
        schedule=sg.ScheduleConfig(
            stable_kimg=20,
            fade_kimg=20,
            total_kimg=300,
            batch_size=32,
        ),
        checkpoint=sg.CheckpointConfig(every_kimg=20),
        run=sg.RunConfig(tick_kimg=5.0),
    )
