"""What moves: a strip of some frames for paper, and all of them for the screen."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

SCREEN = 2  # pictures in films are as many times larger than those on paper


class Film(NamedTuple):
    """A figure that moves.

    Attributes:
        strip: a figure of some moments, uint8 `[H, W, 3]`.
        frames: of the film, uint8 `[h, w, 3]` each, drawn as they are asked for.
        count: the number of frames.
    """

    strip: np.ndarray
    frames: Iterator[np.ndarray]
    count: int
