"""One process at a time in a folder, with a word about who that is.

The lock is the kernel's (`flock`, which NFS of Linux passes on to the server): it ends
with its process however that ends, so a lock of the dead is free. What the file holds
is for people only.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from stylegan_jax.errors import UserError

# What file systems without locks say: then nothing is guarded.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file `path` in the block and removes it afterwards.

    Args:
        path: of the lock; its folder is made if need be, and removed if it stays empty.
        what: is guarded, for the message.

    Raises:
        UserError: another process holds it; says which, where and since when.
    """
    made = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to ({error.strerror})"
        ) from error
    with _locked(path, what) as file:
        file.seek(0)
        file.truncate()
        file.write(json.dumps(_holder()))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: see `_locked`
            if made:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()  # of work that was refused: it is empty


@contextlib.contextmanager
def _locked(path: Path, what: str):  # type: ignore[no-untyped-def]
    while True:
        with open(path, "a+") as file:  # closing it gives the lock back
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UserError(_refusal(file.read(4096), what)) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                print(f"{path} cannot be locked: {error.strerror}", file=sys.stderr)
            # The last holder may have removed the file that was opened here.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    yield file
                    return


def _holder() -> dict[str, str | int]:
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": platform.node(), "since": now}


def _refusal(text: str, what: str) -> str:
    try:
        holder = json.loads(text)
        who = f"process {int(holder['pid'])} on {ascii(holder['host'])[1:-1]} works on"
        who += f" {what} since {ascii(holder['since'])[1:-1]}"
    except (ValueError, KeyError, TypeError):  # it has just begun
        who = f"another process works on {what}"
    return f"{who}; wait for it, end it, or give another folder"
