"""Progress on standard error, and text without terminal control characters."""

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_SECONDS_BETWEEN_LINES = 10.0
# Control characters but newline and tab, lone surrogates, and what hides or turns the
# text around it (Unicode's Bidi_Control, zero widths, separators of lines, tags).
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def progress_bar(*, quiet: bool = False) -> Progress:
    """A bar with title, count and time left, on terminals; a context manager."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )


@contextlib.contextmanager
def transfer(
    name: str, *, done: int, total: int | None
) -> Iterator[Callable[[int], None]]:
    """Progress of a file transfer: a bar, or lines without a terminal.

    Yields a function of the number of bytes since its last call; `done` came before.
    """
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    if not console.is_interactive:
        yield _lines(console, name, done, total)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    title = TextColumn("{task.description}", markup=False)
    with Progress(title, *columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(name, completed=done, total=total)
        yield lambda count: progress.advance(task, count)


def _lines(
    console: Console, name: str, done: int, total: int | None
) -> Callable[[int], None]:
    whole = "" if total is None else f" of {megabytes(total)}"
    so_far, last = done, time.monotonic()
    console.print(f"{name}: {megabytes(done)}{whole}")

    def advance(count: int) -> None:
        nonlocal so_far, last
        so_far += count
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES or so_far == total:
            console.print(f"{name}: {megabytes(so_far)}{whole}")
            last = now

    return advance


def megabytes(count: int) -> str:
    """Formats a number of bytes: `324.7 MB`."""
    return f"{count / 1e6:.1f} MB"


def printable(text: str) -> str:
    r"""Text with control characters escaped, `\x1b`, but for newlines and tabs."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


class _Shown:
    """A text stream that writes `printable` text; otherwise the one it wraps."""

    def __init__(self, stream: Any) -> None:
        # rich looks for this name, and writes colours to that stream.
        self.rich_proxied_file = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


@contextlib.contextmanager
def only_shown() -> Iterator[None]:
    """Makes all that is printed or logged `printable`; rich keeps its colours."""
    output: Any = _Shown(sys.stdout)
    errors: Any = _Shown(sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        yield


@contextlib.contextmanager
def obeyed() -> Iterator[None]:
    """Gives the terminal back to a library that prints its own colours."""
    output = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    errors = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        yield
