"""Goodfellow's GAN on MNIST: multi-layer perceptrons, no classes, no growing.

TFDS makes the data once, where TensorFlow is installed:

python -c "import tensorflow_datasets as tfds; \
    tfds.builder('mnist', file_format='array_record').download_and_prepare()"
python -m stylegan_jax.train configs/gan_mnist.py --workdir runs/gan_mnist
python -m stylegan_jax.train configs/gan_mnist.py:collapse --workdir runs/collapse
python -m stylegan_jax.coverage runs/gan_mnist --labels label

`spread` draws all ten digits. `collapse` differs in one number: the discriminator
learns at a tenth of the generator's rate, which runs ahead and maps every latent to the
same image, as section 6 of the paper warns ("the Helvetica scenario").

Source: Goodfellow et al. 2014, sections 3 and 5. Differs: 32 px with a black border,
normal latents, leaky ReLU instead of rectifiers and maxout, no dropout, Adam.
"""

import dataclasses

import stylegan_jax as sg

BATCH_SIZE = 64
PANEL_KIMG = 2_000 * BATCH_SIZE / 1000  # 2,000 steps


def get_config(variant: str = "spread") -> sg.Config:
    """Variant `spread` or `collapse`."""
    config = sg.Config(
        model=sg.ModelConfig(
            resolution=32,
            num_channels=1,
            z_dim=100,
            w_dim=100,
            mapping_layers=0,
            normalize_z=False,
            use_styles=False,
            use_noise=False,
            mlp_layers=2,
            mlp_width=512,
            mbstd_group_size=0,
        ),
        data=sg.DataConfig(name="tfds:mnist", num_channels=1),
        loss=sg.LossConfig(objective="logistic", r1_gamma=0.5),
        optimizer=sg.OptimizerConfig(learning_rate=0.002, beta1=0.5, ema_kimg=2),
        schedule=sg.ScheduleConfig(
            initial_resolution=32,
            total_kimg=5 * PANEL_KIMG,
            repeats=20,
            batch_size=BATCH_SIZE,
        ),
        checkpoint=sg.CheckpointConfig(
            every_kimg=PANEL_KIMG, keep_every_kimg=PANEL_KIMG
        ),
        run=sg.RunConfig(tick_kimg=PANEL_KIMG / 5, grid_ticks=5),
    )
    if variant == "spread":
        return config
    if variant == "collapse":
        optimizer = dataclasses.replace(config.optimizer, d_rate=0.1)
        return dataclasses.replace(config, optimizer=optimizer)
    raise ValueError(f"no variant {variant!r}; there are spread and collapse")
