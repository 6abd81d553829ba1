"""MP4 films, by PyAV (`pip install 'stylegan_jax[video]'`)."""

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io.atomic import atomic_file

_SIDE = 256  # pixels of a frame's height, at least


def write(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Writes an H.264 film as its frames, uint8 `[H, W, 1 or 3]`, come in.

    All have one shape. Small ones are enlarged, and odd sides get a white pixel more,
    because the format halves the resolution of colours.
    """
    av = load_av()
    with atomic_file(path) as file, av.open(file, "w", format="mp4") as film:
        film.metadata["comment"] = "stylegan_jax"  # see io/outputs.py
        stream = film.add_stream("libx264", rate=fps)
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "17"}
        for number, frame in enumerate(frames):
            pixels = _ready(frame)
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        film.mux(stream.encode())


def load_av() -> ModuleType:
    """PyAV; UserError if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError(
            "films need PyAV: pip install 'stylegan_jax[video]', or ask for no film"
        ) from error
    return av


def _ready(frame: np.ndarray) -> np.ndarray:
    factor = -(-_SIDE // frame.shape[0])
    frame = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    frame = np.broadcast_to(frame, (*frame.shape[:2], 3))
    height, width = frame.shape[:2]
    odd = ((0, height % 2), (0, width % 2), (0, 0))
    return np.ascontiguousarray(np.pad(frame, odd, constant_values=255))
