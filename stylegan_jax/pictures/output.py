"""Where figures are written, and what is said about it."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from stylegan_jax.common import images, video
from stylegan_jax.common.errors import UserError
from stylegan_jax.pictures.film import Film


class Output:
    """The files of one figure: NAME.png, and NAME.mp4 if it moves."""

    def __init__(self, outdir: Path, name: str) -> None:
        """Checks the folder; it is made with the first file."""
        if outdir.exists() and not outdir.is_dir():
            raise UserError(f"{outdir} is a file; --outdir must be a folder")
        self._stem = outdir / name

    def write(self, figure: np.ndarray) -> None:
        """Writes a figure, uint8 `[H, W, 3]`."""
        path = self._stem.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write_png(path, figure)
        print(path, flush=True)

    def write_film(self, film: Film, fps: int | None) -> None:
        """Writes the strip, and the film unless `fps` is None."""
        if fps is not None:
            if fps < 1:
                raise UserError(f"--fps {fps} is below 1")
            video.load_av()
        self.write(film.strip)
        if fps is None:
            return
        console = Console(stderr=True)
        path = self._stem.with_suffix(".mp4")
        frames = track(
            film.frames,
            path.name,
            total=film.count,
            console=console,
            disable=not console.is_terminal,
        )
        video.write(path, frames, fps)
        print(path, flush=True)
