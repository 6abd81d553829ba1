"""Text for terminals: names and texts out of files may hold what a terminal obeys."""

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

# Control characters but newline and tab, lone surrogates, and what hides or turns the
# text around it (Unicode's Bidi_Control, zero widths, separators of lines, tags).
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def printable(text: str) -> str:
    r"""Text that a terminal shows and does not obey: `\x1b` for an escape.

    Newlines and tabs stay.
    """
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


class _Shown:
    """A text stream that writes `printable` text; the rest is the stream's own."""

    def __init__(self, stream: Any) -> None:
        # By this name rich finds the stream, to which it writes colours itself.
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
    """Makes everything that is printed or logged `printable`; rich keeps its colours.

    One place for every message of a command, whatever it quotes.
    """
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
