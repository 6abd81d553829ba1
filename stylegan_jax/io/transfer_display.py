"""How far a transfer is: a bar on a terminal, plain lines elsewhere, on stderr."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

SECONDS_BETWEEN_LINES = 10.0


def note(message: str) -> None:
    """Prints a line for people."""
    print(message, file=sys.stderr, flush=True)


def megabytes(count: int) -> str:
    """A number of bytes for people: `324.7 MB`."""
    return f"{count / 1e6:.1f} MB"


@contextlib.contextmanager
def transfer(
    name: str, *, done: int, total: int | None
) -> Iterator[Callable[[int], None]]:
    """Shows a transfer while it lasts.

    Args:
        name: of the file.
        done: bytes that were there before.
        total: bytes in the end, None if unknown.

    Yields:
        What to call with the number of bytes that have come since the last call.
    """
    console = Console(stderr=True)
    if not console.is_interactive:
        yield _plain_lines(name, done, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, completed=done, total=total)
        yield lambda count: progress.advance(task, count)


def _plain_lines(name: str, done: int, total: int | None) -> Callable[[int], None]:
    whole = "" if total is None else f" of {megabytes(total)}"
    so_far, last = done, time.monotonic()
    note(f"{name}: {megabytes(done)}{whole}")

    def advance(count: int) -> None:
        nonlocal so_far, last
        so_far += count
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or so_far == total:
            note(f"{name}: {megabytes(so_far)}{whole}")
            last = now

    return advance
