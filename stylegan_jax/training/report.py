"""Reports of a training run: metrics, sample images, and progress.

Device arrays of steps are fetched together at the tick: the loop never waits for the
device. Every process fetches and stops on non-finite numbers; process 0 writes and
shows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import outputs, timing
from stylegan_jax.training.metrics_log import MetricsLog
from stylegan_jax.training.progress import LogLines, Progress, Reporter

_log = logging.getLogger(__name__)


class NonFiniteError(UserError):
    """A metric became infinite or NaN."""


class Report:
    """Metrics, images and progress of one run; close it, or use `with`."""

    def __init__(
        self,
        workdir: Path,
        total_nimg: int,
        restored_nimg: int = 0,
        time_left: Callable[[int, int | None, float | None], float | None]
        | None = None,
        reporter: Callable[[Progress], Reporter] = LogLines,
    ) -> None:
        """Opens the files, dropping what was written after `restored_nimg` images.

        `time_left` gives seconds, of image count, resolution and images per second.
        """
        self._workdir = workdir
        self._tick_kimg, self._tick_nimg = 1.0, restored_nimg
        self._deferred: list[tuple[int, Mapping[str, Any]]] = []
        self._rate = timing.RateMeter()
        self._time_left = time_left or (lambda *speed: None)
        self._progress = Progress(total_nimg, restored_nimg)
        self._reporter: Reporter | None = None
        if jax.process_index() == 0:
            self._metrics = MetricsLog(workdir, restored_nimg)
            self._reporter = reporter(self._progress)

    def due(self, nimg: int) -> bool:
        """Whether a tick's boundary was crossed since the last flush."""
        return timing.due(nimg, self._tick_nimg, self._tick_kimg)

    def begin_phase(self, title: str, resolution: int, tick_kimg: float) -> None:
        """Announces a phase; the rate excludes its first step, which may compile."""
        self._tick_kimg = tick_kimg
        progress = self._progress
        progress.title, progress.resolution = title, resolution
        progress.alpha, progress.compiling = None, True
        self._rate = timing.RateMeter()  # the speed is another one
        self.note(f"kimg {progress.kimg}  {title}")

    def defer(self, nimg: int, metrics: Mapping[str, Any]) -> None:
        """Keeps a step's device arrays for `flush`; never waits for the device."""
        if self._progress.compiling:
            self.restart_clock(nimg)
            self._progress.compiling = False
        self._deferred.append((nimg, metrics))
        self._progress.nimg = nimg

    def restart_clock(self, nimg: int) -> None:
        """Leaves the time since the last flush out of the rate."""
        self._rate.restart(nimg)

    def flush(
        self,
        nimg: int,
        alpha: float | None = None,
        last_checkpoint: Path | None = None,
    ) -> dict[str, float]:
        """Fetches what was deferred; writes, shows and returns the means.

        Raises NonFiniteError, after writing, that names `last_checkpoint`: flush before
        saving, so that it is a good one.
        """
        nimgs = [count for count, _ in self._deferred]
        fetched = jax.device_get([metrics for _, metrics in self._deferred])
        self._deferred, self._tick_nimg = [], nimg
        values: dict[str, list[np.ndarray]] = {}
        for metrics in fetched:
            for name, value in metrics.items():
                values.setdefault(name, []).append(np.ravel(value).astype(np.float64))
        means = {name: float(np.concatenate(v).mean()) for name, v in values.items()}
        progress = self._progress
        progress.nimg, progress.alpha, progress.metrics = nimg, alpha, means
        rate, resolution = self._rate.update(nimg), progress.resolution
        progress.rate = rate
        progress.seconds_left = self._time_left(nimg, resolution, rate)
        facts = {"resolution": resolution, "alpha": alpha, "images_per_second": rate}
        known = {name: value for name, value in facts.items() if value is not None}
        self._write(nimg, known | means)
        if self._reporter is not None:
            self._reporter.tick()
        _check_finite(nimgs, fetched, last_checkpoint)
        return means

    def write(
        self, nimg: int, results: Mapping[str, float], *, show: bool = True
    ) -> None:
        """Writes results that are on the host, such as a score, and shows them."""
        self._write(nimg, results)
        if not show:
            return
        shown = "  ".join(f"{name} {value:.4g}" for name, value in results.items())
        self.note(f"kimg {nimg / 1000:.1f}  {shown}")

    def write_grid(self, name: str, nimg: int, image: np.ndarray) -> Path | None:
        """Writes a uint8 image to `samples/NAME_KIMG.png`; returns the path, if so."""
        if self._reporter is None:
            return None
        path = self._workdir / "samples" / f"{name}_{nimg / 1000:010.3f}.png"
        try:
            outputs.write_png(path, image, "sheet")
        except OSError as error:
            self._forgive(error)
            return None
        return path

    def warn(self, message: str) -> None:
        """Logs a warning, once for all processes."""
        if self._reporter is not None:
            _log.warning("%s", message)

    def note(self, message: str) -> None:
        """Shows lines, if there are any, once for all processes."""
        if self._reporter is not None and message:
            self._reporter.note(message)

    def close(self) -> None:
        """Ends the reporter and closes the files; may be called twice."""
        reporter, self._reporter = self._reporter, None
        if reporter is not None:
            reporter.close()
            self._metrics.close()

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self, nimg: int, numbers: Mapping[str, float]) -> None:
        if self._reporter is not None:
            try:
                self._metrics.write(nimg, numbers)
            except OSError as error:
                self._forgive(error)

    def _forgive(self, error: OSError) -> None:
        self._metrics.tensorboard = None  # its file may end in half a record
        self.warn(f"{self._workdir} cannot be written ({error}); training goes on")


def _check_finite(
    nimgs: list[int], fetched: list[dict[str, Any]], last_checkpoint: Path | None
) -> None:
    for nimg, metrics in zip(nimgs, fetched, strict=True):
        bad = [name for name, value in metrics.items() if not np.isfinite(value).all()]
        if bad:
            back = (
                "no checkpoint had been written"
                if last_checkpoint is None
                else f"the last good checkpoint is {last_checkpoint}"
            )
            raise NonFiniteError(
                f"{', '.join(bad)} not finite at {nimg / 1000:.3f} kimg: training has"
                f" diverged; {back}"
            )
