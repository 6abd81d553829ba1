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


@contextlib.contextmanager
def held(
    path: Path, what: str, *, wait: bool = False, hint: str = ""
) -> Iterator[None]:
    """Holds the lock file `path`, which guards `what`, in the block; then removes it.

    Makes its folder if need be, and removes that if it stays empty; if it cannot be
    written to, that is a UserError that ends in `hint`. If another process holds the
    lock, its host and start are in a UserError, or in a warning with `wait`.
    """
    made = not path.parent.exists()
    try:
        file = _locked(path, what, wait)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to ({error.strerror}){hint}"
        ) from error
    with file:
        since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        holder = {"pid": os.getpid(), "host": platform.node(), "since": since}
        file.truncate(0)
        file.write(json.dumps(holder))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: see `_locked`
            if made and not wait:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()


def _locked(path: Path, what: str, wait: bool) -> IO[str]:
    """The locked file; opened anew if the last holder removed it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115
        try:
            if not _take(file, fcntl.LOCK_NB):
                file.seek(0)
                holder = _holder(file.read(4096), what)
                if not wait:
                    way_out = "wait for it, end it, or give another folder"
                    raise UserError(f"{holder}; {way_out}")
                _log.warning("waiting: %s", holder)
                _take(file)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


def _take(file: IO[str], how: int = 0) -> bool:
    """Locks an open file until it is closed, if possible; False if another holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning("%s cannot be locked: %s", file.name, error.strerror)
    return True


def _holder(text: str, what: str) -> str:
    try:
        holder = json.loads(text)
        pid, host, since = (ascii(holder[x])[:60] for x in ("pid", "host", "since"))
        return f"process {pid} on {host} works on {what} since {since}"
    except (ValueError, KeyError, TypeError):  # it has just begun
        return f"another process works on {what}"
