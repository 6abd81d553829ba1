"""Training progress: a live display on a terminal, plain lines elsewhere."""

import os
import sys
import time
from typing import TextIO

import jax
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stylegan_jax.commands.cli import as_flags, say
from stylegan_jax.io.timing import hms
from stylegan_jax.training.report import Progress, Reporter


def show(progress: Progress) -> Reporter:
    """The reporter for standard output."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return LiveDisplay(sys.stdout, progress)
    return PlainLines(sys.stdout, progress)


class PlainLines:
    """One line per tick, for files and pipes."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        """Writes to `stream`."""
        self._stream: TextIO | None = stream
        self._progress = progress

    def tick(self) -> None:
        """Prints a tick's line."""
        self.note(self._progress.line())

    def note(self, message: str) -> None:
        """Prints a line; ignores a closed stream."""
        if self._stream is None:
            return
        try:
            say(message, self._stream)
        except BrokenPipeError:  # `| head` is no reason to stop training
            self._stream = None

    def close(self) -> None:
        """Does nothing."""


class LiveDisplay:
    """A few lines at the bottom of a terminal that keep themselves up to date."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        """Starts drawing `progress`, which its owner updates in place."""
        self._progress = progress
        self._start = time.monotonic()
        self._memory = ""
        self._console = Console(file=stream, highlight=False)
        # Redirection keeps warnings and prints of others above the display.
        self._live = Live(
            get_renderable=self._render, console=self._console, refresh_per_second=2
        )
        self._live.start()

    def tick(self) -> None:
        """Updates the memory in use; drawing is continuous."""
        self._memory = memory_text()

    def note(self, message: str) -> None:
        """Prints a line above the display."""
        self._console.print(as_flags(message), markup=False, soft_wrap=True)

    def close(self) -> None:
        """Draws a last time and restores the cursor."""
        self._live.stop()

    def _render(self) -> RenderableType:
        progress = self._progress
        head = Text(progress.title, style="bold")
        if progress.alpha is not None:
            head.append(f"   alpha {progress.alpha:.2f}", style="cyan")
        if progress.compiling:
            head.append("   compiling", style="yellow")
        share = progress.nimg / max(1, progress.total_nimg)
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        bar.add_row(
            ProgressBar(total=progress.total_nimg, completed=progress.nimg),
            f"{progress.kimg} kimg  {share:.1%}",
        )
        speed = "?" if progress.rate is None else f"{progress.rate:.4g}"
        facts = [
            f"{speed} images/s",
            f"about {progress.left} left",
            f"{hms(time.monotonic() - self._start)} since start",
            self._memory,
        ]
        lines: list[RenderableType] = [head, bar]
        lines.append(Text("   ".join(filter(None, facts)), style="dim"))
        shown = [
            Text.assemble((f"{name}  ", "dim"), f"{value:+.4g}")
            for name, value in progress.metrics.items()
        ]
        return Group(*lines, Columns(shown, padding=(0, 3)))


def memory_text() -> str:
    """Memory in use on the first local device, if it is reported."""
    stats = jax.local_devices()[0].memory_stats() or {}
    used = stats.get("bytes_in_use", 0) / 2**30
    peak = stats.get("peak_bytes_in_use", 0) / 2**30
    return f"device {used:.1f} GiB (peak {peak:.1f})" if used else ""
