"""Progress on standard error, and text without terminal control characters."""

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
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

# Control characters but newline and tab, lone surrogates, and what hides or turns the
# text around it (Unicode's Bidi_Control, zero widths, separators of lines, tags).
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def progress_bar(*, quiet: bool = False, of_bytes: bool = False) -> Progress:
    """A bar with title, count and time left, on terminals; a context manager."""
    console = Console(stderr=True)
    counts = (DownloadColumn(), TransferSpeedColumn())
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *(counts if of_bytes else [MofNCompleteColumn()]),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )


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


def only_shown() -> contextlib.AbstractContextManager[None]:
    """Makes all that is printed or logged `printable`; rich keeps its colours."""
    return _streams(_Shown(sys.stdout), _Shown(sys.stderr))


def obeyed() -> contextlib.AbstractContextManager[None]:
    """Gives the terminal back to a library that prints its own colours."""
    streams = (getattr(x, "rich_proxied_file", x) for x in (sys.stdout, sys.stderr))
    return _streams(*streams)


@contextlib.contextmanager
def _streams(output: Any, errors: Any) -> Iterator[None]:
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        yield
