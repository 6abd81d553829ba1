"""User-facing errors, and disk failures in words."""

import difflib
import errno
import os
import re
from collections.abc import Iterable

_DISK = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "your share of the disk is used up (quota)",
    errno.EFBIG: "a file may not grow that large (ulimit -f, or the file system)",
    errno.EROFS: "the disk may only be read",
    errno.ENAMETOOLONG: "a name is longer than the file system allows",
    errno.EIO: "the disk cannot be read or written (input/output error)",
}
_PLACE = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)
# Messages of TensorStore, which raises a plain ValueError.
_TENSORSTORE = {
    "No space left": errno.ENOSPC,
    "RESOURCE_EXHAUSTED": errno.ENOSPC,
    "quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Read-only": errno.EROFS,
    "PERMISSION_DENIED": errno.EACCES,
}


class UserError(ValueError):
    """A caller's mistake; the message names it, the rule and the remedy.

    Entry points print it as one line without a traceback
    (`stylegan_jax.commands.running.run_main`).
    """


class AgreedError(UserError):
    """A UserError that all processes raise at the same point; it needs no broadcast."""


class LostProcessError(UserError):
    """Another process of the job is gone; the run is intact, to be started again.

    Exit status of commands: 75 (EX_TEMPFAIL of sysexits.h).
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean A or B?` of known words with a similar spelling, or ""."""
    spelt = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), spelt, n=2)
    names = " or ".join(spelt[name] for name in close)
    return f"did you mean {names}?" if names else ""


def in_a_line(error: BaseException) -> str:
    """Class and message of another library's error, in one line of at most 250."""
    text = " ".join(str(error).split())[:200] or "no message"
    return f"{type(error).__name__}: {text}"


def disk_trouble(error: BaseException) -> str | None:
    """The failure of the disk in words; None if the error is about something else."""
    return _DISK.get(_errno(error))


def place_trouble(error: BaseException) -> str | None:
    """As `disk_trouble`, also for missing or forbidden paths."""
    number = _errno(error)
    return os.strerror(number) if number in _PLACE else _DISK.get(number)


def _errno(error: BaseException) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    text = str(error)
    if match := re.search(r"os_error_code='(\d+)'", text):
        return int(match[1])
    found = (number for words, number in _TENSORSTORE.items() if words in text)
    return next(found, 0)
