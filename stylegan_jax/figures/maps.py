"""Maps over pixels, in grey levels from 0 to 255, as pictures."""

import math

import numpy as np


def grey_levels(pictures: np.ndarray) -> np.ndarray:
    """The mean of the channels, float64 `[..., H, W]` of `[..., H, W, C]`.

    Source: `draw_noise_detail_figure`, `generate_figures.py` of NVlabs/stylegan.
    """
    return pictures.astype(np.float64).mean(-1)


def gain_for(levels: np.ndarray) -> float:
    """The largest power of two, from 1, that keeps 99 of 100 pixels below white."""
    brightest = float(np.quantile(levels, 0.99))
    if brightest <= 0:
        return 1.0
    return 2.0 ** max(0, math.floor(math.log2(255 / brightest)))


def as_grey(levels: np.ndarray) -> np.ndarray:
    """A picture of grey levels `[H, W]`, uint8 `[H, W, 1]`: black is 0, white 255."""
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)[..., None]
