"""The errors for mistakes that the user can put right, and trouble of the disk."""

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
    errno.EIO: "the disk cannot be read or written (input/output error)",
}
_PLACE = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)
# What TensorStore says, with a plain ValueError.
_TENSORSTORE = {
    "No space left": errno.ENOSPC,
    "RESOURCE_EXHAUSTED": errno.ENOSPC,
    "quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Read-only": errno.EROFS,
    "PERMISSION_DENIED": errno.EACCES,
}


class UserError(ValueError):
    """A mistake of the caller's: the message names it, the rule and the way out.

    Entry points print such an error as one line, without a traceback
    (`stylegan_jax.commands.running.run_main`).
    """


class AgreedError(UserError):
    """A mistake that every process of the job raises at the same point.

    None has to tell the others, and all can leave as after success: together.
    """


class LostProcessError(UserError):
    """Another process of the job is gone; nothing is wrong with the run itself.

    Commands end with status 75 (EX_TEMPFAIL of sysexits.h): start all again.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean A or B?` of known words that look like a misspelt one, or ""."""
    spelt = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), spelt, n=2)
    names = " or ".join(spelt[name] for name in close)
    return f"did you mean {names}?" if names else ""


def disk_trouble(error: BaseException) -> str | None:
    """What is wrong with the disk; None if the error is about something else."""
    return _DISK.get(_errno(error))


def place_trouble(error: BaseException) -> str | None:
    """As `disk_trouble`, or that the place is gone or forbidden."""
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
