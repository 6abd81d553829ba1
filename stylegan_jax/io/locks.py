"""Locks between processes, which name their holder.

The kernel's (`flock`, also over Linux's NFS): they end with their process. File systems
without locks guard nothing.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stylegan_jax.errors import UserError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_log = logging.getLogger(__name__)


def take(file: IO, *, wait: bool = False) -> bool:
    """Locks an open file until it is closed, if possible; False if another holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning("%s cannot be locked: %s", file.name, error.strerror)
    return True


@contextlib.contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file `path`, which guards `what`, in the block; then removes it.

    Makes its folder if need be, and removes that if it stays empty. Another holder is a
    UserError with its process, host and start.
    """
    made = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to ({error.strerror})"
        ) from error
    with _opened(path, what) as file:
        since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        holder = {"pid": os.getpid(), "host": platform.node(), "since": since}
        file.truncate(0)
        file.write(json.dumps(holder))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: see `_opened`
            if made:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()


def _opened(path: Path, what: str) -> IO[str]:
    """The locked file; opened anew if the last holder removed it."""
    while True:
        file = open(path, "a+")  # noqa: SIM115
        try:
            if not take(file):
                file.seek(0)
                raise UserError(_holder(file.read(4096), what))
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _holder(text: str, what: str) -> str:
    try:
        holder = json.loads(text)
        who = f"process {int(holder['pid'])} on {ascii(holder['host'])[1:-1]} works on"
        who += f" {what} since {ascii(holder['since'])[1:-1]}"
    except (ValueError, KeyError, TypeError):  # it has just begun
        who = f"another process works on {what}"
    return f"{who}; wait for it, end it, or give another folder"
