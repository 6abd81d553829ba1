"""Reports of a training run: metrics, sample images, and progress.

Device arrays of steps are fetched together at the tick: the loop never waits for the
device. Every process fetches and stops on non-finite numbers; process 0 writes and
shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import tensorboardX

from stylegan_jax.errors import UserError
from stylegan_jax.io import outputs, records, timing
from stylegan_jax.io.atomic import atomic_write

_log = logging.getLogger(__name__)


class NonFiniteError(UserError):
    """A metric became infinite or NaN."""


@dataclasses.dataclass
class Progress:
    """Progress of a run; updated in place."""

    total_nimg: int
    nimg: int = 0
    title: str = "starting"  # of the phase, such as `32 px, fading in`
    resolution: int | None = None  # pixels
    alpha: float | None = None  # None: nothing is fading in
    compiling: bool = True  # the phase's first step has not returned yet
    rate: float | None = None  # images per second; None: not known yet
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seconds_left: float | None = None  # None: not known yet

    @property
    def left(self) -> str:
        """Time left, as text."""
        return "?" if self.seconds_left is None else timing.hms(self.seconds_left)

    @property
    def kimg(self) -> str:
        """Images shown and in all, in thousands, of one width throughout a run."""
        total = f"{self.total_nimg / 1000:g}"
        return f"{self.nimg / 1000:>{len(total) + 2}.1f}/{total}"

    def line(self) -> str:
        """The tick as one aligned line that grep and awk can parse."""
        size = "" if self.resolution is None else f"{self.resolution}px"
        alpha = " " * 10 if self.alpha is None else f"alpha {self.alpha:.2f}"
        rate = "?" if self.rate is None else f"{self.rate:.4g}"
        parts = [
            f"kimg {self.kimg}",
            f"{size:>6} {alpha}",
            f"images/s {rate:<6}",
            f"left {self.left:<11}",
            *(f"{name} {value:<+10.4g}" for name, value in self.metrics.items()),
        ]
        return "  ".join(parts).rstrip()


class Reporter(Protocol):
    """Shows the `Progress` that it is made of."""

    def tick(self) -> None:
        """New metrics are in the progress."""

    def note(self, message: str) -> None:
        """Shows a message once."""

    def close(self) -> None:
        """The run has ended."""


@dataclasses.dataclass
class LogLines(Reporter):
    """Default reporter: one `logging` line per tick, of level INFO."""

    progress: Progress

    def tick(self) -> None:
        """Logs the line of a tick."""
        self.note(self.progress.line())

    def note(self, message: str) -> None:
        """Logs a line."""
        _log.info("%s", message)


class Report:
    """Metrics, images and progress of one run, in a context.

    Writes `metrics.jsonl`, `tensorboard/` and `samples/` of the run directory.
    """

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
        self._tensorboard: tensorboardX.SummaryWriter | None = None
        if jax.process_index() == 0:
            _drop_lines_after(workdir / "metrics.jsonl", restored_nimg)
            self._tensorboard = self._writer(restored_nimg)
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
        self.write(nimg, known | means)
        if self._reporter is not None:
            self._reporter.tick()
        for count, metrics in zip(nimgs, fetched, strict=True):
            bad = [name for name, x in metrics.items() if not np.isfinite(x).all()]
            if bad:
                raise NonFiniteError(
                    f"{', '.join(bad)} not finite at {count / 1000:.3f} kimg: training "
                    f"has diverged; the last good checkpoint is "
                    f"{last_checkpoint or 'not written yet'}"
                )
        return means

    def write(self, nimg: int, numbers: Mapping[str, float]) -> None:
        """Writes numbers that are on the host."""
        if self._reporter is None:
            return
        record: dict[str, Any] = {"nimg": nimg, "kimg": nimg / 1000}
        record["time"] = round(time.time(), 3)
        for name, value in numbers.items():  # JSON has no NaN
            record[name] = float(value) if math.isfinite(value) else None
        with self._forgiving():
            records.add_line(self._workdir / "metrics.jsonl", record)
            writer = self._tensorboard = self._tensorboard or self._writer(nimg)
            for name, value in numbers.items():
                writer.add_scalar(name, float(value), nimg)
            writer.flush()

    def write_grid(self, name: str, nimg: int, image: np.ndarray) -> None:
        """Writes a uint8 image to `samples/NAME_KIMG.png`."""
        if self._reporter is None:
            return
        path = self._workdir / "samples" / f"{name}_{nimg / 1000:010.3f}.png"
        with self._forgiving():
            outputs.write_png(path, image, "sheet")

    def warn(self, message: str) -> None:
        """Logs a warning, once for all processes."""
        if self._reporter is not None:
            _log.warning("%s", message)

    def note(self, message: str) -> None:
        """Shows lines, if there are any, once for all processes."""
        if self._reporter is not None and message:
            self._reporter.note(message)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._reporter is not None:
            self._reporter.close()
        if self._tensorboard is not None:
            with contextlib.suppress(OSError):
                self._tensorboard.close()

    def _writer(self, nimg: int) -> tensorboardX.SummaryWriter:
        # A full disk ends its thread; a short queue would then block for ever.
        return tensorboardX.SummaryWriter(
            str(self._workdir / "tensorboard"),
            purge_step=nimg + 1 if nimg else None,
            max_queue=10_000,
        )

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._tensorboard = None  # its file may end in half a record
            self.warn(f"{self._workdir} cannot be written ({error}); training goes on")


def _drop_lines_after(path: Path, nimg: int) -> None:
    """Removes lines beyond `nimg` or cut short; keeps a copy of a damaged file."""
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
        records.warn_of_damage(path, tuple(damaged))
        _log.warning("the file as it was is now %s", records.set_aside(path))
    elif len(kept) == count:
        return
    content = "".join(kept).encode("utf-8", "surrogateescape")
    atomic_write(path, content)
