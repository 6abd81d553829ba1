"""Photographs of random blobs, and how alike pictures are."""

import numpy as np

from stylegan_jax.io import resampling


def blobs(height, width, cell=4):
    """Blobs of some `cell` pixels, uint8 `[H, W, 3]`."""
    size = (-(-height // cell), -(-width // cell), 3)
    small = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    return resampling.resize(small, (height, width))


def square(left, top, side):
    """An upright quad, of whole pixels."""
    right, bottom = left + side, top + side
    corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
    return np.array(corners) - 0.5


def turned(degrees, side, centre):
    """A quad turned about its centre."""
    angle = np.radians(degrees)
    half = side / 2 * np.array([np.cos(angle), np.sin(angle)])
    below = np.array([-half[1], half[0]])
    corners = [-half - below, -half + below, half + below, half - below]
    return np.array(centre) + np.stack(corners)


def psnr(one, other):
    """In dB, of levels."""
    error = np.square(one.astype(np.float64) - other).mean()
    return 10 * np.log10(255**2 / error)
