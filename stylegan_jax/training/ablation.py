"""Configurations A to F of the paper: from ProGAN to the style-based generator.

Each is the next one with one change undone.

Source: Karras et al. 2018, table 1 and section 2; the arguments for it in `train.py`
and `networks_stylegan.py`, NVlabs/stylegan; of A, `networks_progan.py` there.
"""

import dataclasses

from stylegan_jax.errors import UserError
from stylegan_jax.training.config import Config

CONFIGURATIONS = {
    "a": "the baseline, ProGAN, with WGAN-GP and from 4 px on",
    "b": "tuned: resampling with a low-pass filter, and the settings of the recipe",
    "c": "with a mapping network and styles",
    "d": "without the traditional input: a learned constant",
    "e": "with noise inputs",
    "f": "with mixing regularisation: StyleGAN",
}

_TRADITIONAL = {
    "mapping_layers": 0,
    "use_styles": False,
    "use_pixel_norm": True,
    "use_instance_norm": False,
}
_PROGAN = {"blur": False, "fused_from": 8, "embed_labels": False}


def configured(
    config: Config, letter: str, *, progan_kimg: float | None = None
) -> Config:
    """Configuration `letter` of table 1, "a" to "f", given configuration F.

    Widths, data, tables by resolution and length stay, but A's length may be
    `progan_kimg`, as its objective differs. Raises UserError for another letter.
    """
    letter = letter.lower()
    if letter not in CONFIGURATIONS:
        listed = "; ".join(f"{key}: {what}" for key, what in CONFIGURATIONS.items())
        raise UserError(f"no configuration {letter!r}; there are {listed}")
    model, loss, schedule = config.model, config.loss, config.schedule
    if letter <= "e":
        loss = dataclasses.replace(loss, style_mixing=0.0)
    if letter <= "d":
        model = dataclasses.replace(model, use_noise=False)
    if letter <= "c":
        model = dataclasses.replace(model, const_input=False)
    if letter <= "b":
        model = dataclasses.replace(model, **_TRADITIONAL)
    if letter == "a":
        model = dataclasses.replace(model, **_PROGAN)
        loss = dataclasses.replace(
            loss, objective="wgan_gp", r1_gamma=None, gp_lambda=None, drift=None
        )
        schedule = dataclasses.replace(
            schedule,
            initial_resolution=4,
            total_kimg=progan_kimg or schedule.total_kimg,
        )
    return dataclasses.replace(config, model=model, loss=loss, schedule=schedule)
