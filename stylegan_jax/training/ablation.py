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
_WGAN_GP = {"objective": "wgan_gp", "r1_gamma": None, "gp_lambda": None, "drift": None}
# Section and fields that are undone from a letter down.
_UNDONE = (
    ("e", "loss", {"style_mixing": 0.0}),
    ("d", "model", {"use_noise": False}),
    ("c", "model", {"const_input": False}),
    ("b", "model", _TRADITIONAL),
    ("a", "model", _PROGAN),
    ("a", "loss", _WGAN_GP),
    ("a", "schedule", {"initial_resolution": 4}),
)


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
    undone = [(section, fields) for last, section, fields in _UNDONE if letter <= last]
    if letter == "a" and progan_kimg:
        undone.append(("schedule", {"total_kimg": progan_kimg}))
    for section, fields in undone:
        changed = dataclasses.replace(getattr(config, section), **fields)
        config = dataclasses.replace(config, **{section: changed})
    return config
