"""CIFAR-10 by class at 32 px: full widths, for one GPU.

TFDS makes the data once, where TensorFlow is installed:

python -c "import tensorflow_datasets as tfds; \
    tfds.builder('cifar10', file_format='array_record').download_and_prepare()"
python -m stylegan_jax.train configs/cifar10.py --workdir runs/cifar10
python -m stylegan_jax.sample runs/cifar10 --class 3 --outdir cats

The paper has no CIFAR-10. Growing, learning rate and minibatches are the official
ones of NVlabs/stylegan; the weight of R1 and the length of the run are ours. Without
classes: `--data.labels none`.
"""

import stylegan_jax as sg


def get_config() -> sg.Config:
    """The configuration."""
    return sg.Config(
        model=sg.ModelConfig(resolution=32),
        data=sg.DataConfig(name="tfds:cifar10", labels="label", mirror=True),
        loss=sg.LossConfig(r1_gamma=1.0),
        schedule=sg.ScheduleConfig(total_kimg=12_000),
    )
