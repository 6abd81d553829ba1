"""Films, by PyAV (`pip install 'stylegan_jax[video]'`)."""

from pathlib import Path
from types import ModuleType

import numpy as np

from stylegan_jax.common.errors import UserError
from stylegan_jax.common.files import atomic_file

_SIDE = 256  # pixels of a frame's height, at least


def write(path: Path, frames: np.ndarray, fps: int) -> None:
    """Writes an MP4 film (H.264).

    Args:
        path: of the film, which is replaced at once.
        frames: uint8 `[frames, H, W, 1 or 3]`; small ones are enlarged.
        fps: frames per second.

    Raises:
        UserError: PyAV is not installed.
    """
    av = load_av()
    factor = -(-_SIDE // frames.shape[1])
    frames = frames.repeat(factor, axis=1).repeat(factor, axis=2)
    frames = np.broadcast_to(frames, (*frames.shape[:3], 3))
    with atomic_file(path) as file, av.open(file, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "17"}
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))
            film.mux(stream.encode(picture))
        film.mux(stream.encode())


def load_av() -> ModuleType:
    """PyAV; raises UserError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError(
            "films need PyAV: pip install 'stylegan_jax[video]', or leave --video out"
        ) from error
    return av
