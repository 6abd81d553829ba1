"""Trouble of the disk, told apart from mistakes of the program."""

import errno
import os
import re

_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "your share of the disk is used up (quota)",
    errno.EFBIG: "a file may not grow that large (ulimit -f, or the file system)",
    errno.EROFS: "the disk may only be read",
    errno.EIO: "the disk cannot be read or written (input/output error)",
}
# Of the place rather than of the disk.
_PLACES = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)
# What TensorStore says, with a plain ValueError.
_NUMBER = re.compile(r"os_error_code='(\d+)'")
_WORDS = {
    "No space left": errno.ENOSPC,
    "RESOURCE_EXHAUSTED": errno.ENOSPC,
    "quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Read-only": errno.EROFS,
    "PERMISSION_DENIED": errno.EACCES,
}


def trouble(error: BaseException) -> str | None:
    """What is wrong with the disk; None if the error is about something else."""
    return _REASONS.get(_number(error))


def trouble_of_place(error: BaseException) -> str | None:
    """As `trouble`, or that the place is gone or forbidden."""
    number = _number(error)
    if number in _PLACES:
        return os.strerror(number)
    return _REASONS.get(number)


def _number(error: BaseException) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    text = str(error)
    if match := _NUMBER.search(text):
        return int(match[1])
    return next((number for words, number in _WORDS.items() if words in text), 0)
