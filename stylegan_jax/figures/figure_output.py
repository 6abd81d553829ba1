"""Where figures are written, and what is said about it."""

import numpy as np
from rich.console import Console
from rich.progress import track

from stylegan_jax.errors import UserError
from stylegan_jax.figures.film import Film
from stylegan_jax.io import video
from stylegan_jax.io.outputs import Outputs


class Output:
    """The files of one figure: NAME.png, and NAME.mp4 if it moves."""

    def __init__(self, outputs: Outputs, name: str) -> None:
        """Takes the files of the whole call, and the name of this figure."""
        self._outputs, self._name = outputs, name

    def write(self, figure: np.ndarray) -> None:
        """Writes a figure, uint8 `[H, W, 3]`."""
        print(self._outputs.write_png(f"{self._name}.png", figure, "sheet"), flush=True)

    def write_film(self, film: Film, fps: int | None) -> None:
        """Writes the strip, and the film unless `fps` is None."""
        if fps is not None:
            if fps < 1:
                raise UserError(f"`fps` {fps} is below 1")
            video.load_av()
        self.write(film.strip)
        if fps is None:
            return
        console = Console(stderr=True)
        path = self._outputs.path(f"{self._name}.mp4")
        frames = track(
            film.frames,
            path.name,
            total=film.count,
            console=console,
            disable=not console.is_terminal,
        )
        video.write(path, frames, fps)
        print(path, flush=True)
