"""Metrics of a run: JSON lines, TensorBoard, sample images and the terminal.

Steps hand in device arrays, which are fetched together at the tick, so the loop
never waits for the device in between. Only process 0 writes and shows anything;
every process fetches, and stops on numbers that are not finite.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np
import tensorboardX

from stylegan_jax.errors import UserError
from stylegan_jax.io import outputs, records, timing
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.training.display import LiveDisplay, PlainLines, Progress

_log = logging.getLogger(__name__)


class NonFiniteError(UserError):
    """A metric became infinite or NaN; the run is lost from there on."""


class Writer:
    """The output of one run; close it (or use `with`) to give the terminal back."""

    def __init__(
        self,
        workdir: str | Path,
        total_kimg: float,
        *,
        tick_kimg: float = 1.0,
        restored_nimg: int = 0,
        time_left: Callable[[int, int | None, float | None], float | None]
        | None = None,
        live: bool | None = None,
        stream: TextIO | None = None,
    ) -> None:
        """Opens the files, dropping what was written after `restored_nimg`.

        Args:
            workdir: the run directory.
            total_kimg: where the run ends, for the progress bar.
            tick_kimg: images between two flushes, in thousands; for `due`.
            restored_nimg: where the run continues; 0 for a new one.
            time_left: seconds left, given image count, resolution and images per
                second; None takes the present speed for that of the rest.
            live: draw a live display; None does so where `stream` is a terminal.
            stream: where lines or the display go; standard output by default.
        """
        self._workdir = Path(workdir)
        self._tick_kimg = tick_kimg
        self._tick_nimg = restored_nimg
        self._deferred: list[tuple[int, Mapping[str, Any]]] = []
        self._rate = timing.RateMeter()
        self._time_left = time_left or (lambda *speed: None)
        self._progress = Progress(round(total_kimg * 1000), restored_nimg)
        self._display: LiveDisplay | PlainLines | None = None
        self._tensorboard: tensorboardX.SummaryWriter | None = None
        if jax.process_index() != 0:
            return
        self._lines_path = self._workdir / "metrics.jsonl"
        drop_lines_after(self._lines_path, restored_nimg)
        self._tensorboard = self._open_tensorboard(restored_nimg)
        output = sys.stdout if stream is None else stream
        if live is None:
            live = output.isatty() and os.environ.get("TERM") != "dumb"
        self._display = (
            LiveDisplay(output, self._progress) if live else PlainLines(output)
        )

    def due(self, nimg: int) -> bool:
        """Whether a tick's boundary was crossed since the last flush."""
        return timing.due(nimg, self._tick_nimg, self._tick_kimg)

    def begin_phase(
        self,
        nimg: int,
        *,
        title: str,
        resolution: int,
        tick_kimg: float | None = None,
    ) -> None:
        """Announces a phase; its first step, which compiles, is left out of the rate.

        Args:
            nimg: real images shown so far.
            title: a few words, such as `32 px, fading in`.
            resolution: pixels.
            tick_kimg: images between two flushes from here on; None keeps it.
        """
        if tick_kimg is not None:
            self._tick_kimg = tick_kimg
        progress = self._progress
        progress.nimg, progress.title, progress.resolution = nimg, title, resolution
        progress.alpha = None
        progress.compiling = True
        self._rate.forget()
        if self._display is not None:
            self._display.begin_phase(progress)

    def defer(self, nimg: int, metrics: Mapping[str, Any]) -> None:
        """Keeps a step's device arrays (scalars or one value per repeat) for `flush`.

        Never waits for the device.
        """
        if self._progress.compiling:
            self._rate.restart(nimg)
            self._progress.compiling = False
        self._deferred.append((nimg, metrics))
        self._progress.nimg = nimg

    def restart_clock(self, nimg: int) -> None:
        """Leaves the time since the last flush out of the rate, after other work."""
        self._rate.restart(nimg)

    def flush(
        self,
        nimg: int,
        *,
        alpha: float | None = None,
        last_checkpoint: Path | None = None,
    ) -> dict[str, float]:
        """Fetches what was deferred, writes and shows the means.

        Args:
            nimg: real images shown so far.
            alpha: weight of the new resolution; None when nothing is fading.
            last_checkpoint: named in the error when the run has diverged; flush
                before saving, so that it was written before the trouble.

        Returns:
            The mean of every metric over the deferred steps.

        Raises:
            NonFiniteError: a metric is not finite; what was fetched is written first.
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
        progress.rate = self._rate.update(nimg)
        left = self._time_left(nimg, progress.resolution, progress.rate)
        progress.seconds_left = left
        facts = {
            "resolution": progress.resolution,
            "alpha": alpha,
            "images_per_second": progress.rate,
        }
        known = {name: value for name, value in facts.items() if value is not None}
        self._write_line(nimg, known | means)
        if self._display is not None:
            self._display.tick(progress)
        _check_finite(nimgs, fetched, last_checkpoint)
        return means

    def write(self, nimg: int, results: Mapping[str, float]) -> None:
        """Writes and shows results that are on the host, such as a score."""
        self._write_line(nimg, results)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in results.items())
        self.note(f"kimg {nimg / 1000:.1f}  {shown}")

    def write_grid(self, name: str, nimg: int, image: np.ndarray) -> Path | None:
        """Writes a uint8 `[H, W, C]` image to `samples/NAME_KIMG.png`.

        Returns:
            Its path; None where nothing was written.
        """
        if self._display is None:
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
        if self._display is not None:
            _log.warning("%s", message)

    def note(self, message: str) -> None:
        """Prints a line, above the live display if there is one."""
        if self._display is not None:
            self._display.note(message)

    def close(self) -> None:
        """Gives the terminal back and closes the files; may be called twice."""
        display, self._display = self._display, None
        if display is not None:
            display.close()
        tensorboard, self._tensorboard = self._tensorboard, None
        if tensorboard is not None:
            with contextlib.suppress(OSError):
                tensorboard.close()

    def __enter__(self) -> Writer:
        """The writer itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes it."""
        self.close()

    def _write_line(self, nimg: int, numbers: Mapping[str, float]) -> None:
        if self._display is None:
            return
        record: dict[str, Any] = {"nimg": nimg, "kimg": nimg / 1000}
        record["time"] = round(time.time(), 3)
        for name, value in numbers.items():
            value = float(value)
            record[name] = value if math.isfinite(value) else None  # JSON has no NaN
        try:
            records.add_line(self._lines_path, record)
            self._write_tensorboard(nimg, numbers)
        except OSError as error:
            self._forgive(error)

    def _write_tensorboard(self, nimg: int, numbers: Mapping[str, float]) -> None:
        if self._tensorboard is None:
            self._tensorboard = self._open_tensorboard(nimg)
        for name, value in numbers.items():
            self._tensorboard.add_scalar(name, float(value), nimg)
        self._tensorboard.flush()

    def _open_tensorboard(self, nimg: int) -> tensorboardX.SummaryWriter:
        # Its thread dies of a full disk; a short queue would then block for ever.
        return tensorboardX.SummaryWriter(
            str(self._workdir / "tensorboard"),
            purge_step=nimg + 1 if nimg else None,
            max_queue=10_000,
        )

    def _forgive(self, error: OSError) -> None:
        """A full disk is no reason to stop: the next tick tries again."""
        self._tensorboard = None  # its file may end in half a record
        self.warn(f"{self._workdir} cannot be written ({error}); training goes on")


def drop_lines_after(path: Path, nimg: int) -> None:
    """Rewrites a metrics file without lines beyond `nimg` or cut short by a crash.

    Where other lines are damaged, the file as it was is kept beside it.
    """
    if not path.exists():
        return
    kept, damaged, count = [], [], 0
    for line in records.log_lines(path, {"nimg": int}, inside=path.parent):
        count = line.number
        if line.value is None:
            damaged.append(count)
        elif line.value["nimg"] <= nimg:
            kept.append(line.text)
    if damaged and damaged != [count]:
        records.warn_of_damage(path, damaged)
        _log.warning("the file as it was is now %s", records.set_aside(path))
    elif len(kept) == count:
        return
    content = "".join(kept).encode("utf-8", "surrogateescape")
    atomic_write(path, content)


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
