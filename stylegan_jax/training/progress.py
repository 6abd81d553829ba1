"""Progress of a training run, and its reporters."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Protocol

from stylegan_jax.io import timing

_log = logging.getLogger(__name__)


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


class LogLines(Reporter):
    """Default reporter: one `logging` line per tick, of level INFO."""

    def __init__(self, progress: Progress) -> None:
        """Shows nothing yet."""
        self._progress = progress

    def tick(self) -> None:
        """Logs the line of a tick."""
        self.note(self._progress.line())

    def note(self, message: str) -> None:
        """Logs a line."""
        _log.info("%s", message)
