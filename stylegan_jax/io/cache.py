"""Cache of downloaded and computed files: folder, locks, checksums.

`NAME.sha256`, in the format of `sha256sum`, marks a checked file.
"""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from stylegan_jax.errors import UserError
from stylegan_jax.io import locks
from stylegan_jax.io.atomic import atomic_write

FOLDER_VARIABLE = "STYLEGAN_JAX_CACHE"
_log = logging.getLogger(__name__)


def folder(kind: str) -> Path:
    """The folder for a kind of files; not created.

    `$STYLEGAN_JAX_CACHE/KIND`, else `$XDG_CACHE_HOME/stylegan_jax/KIND`, else
    `~/.cache/stylegan_jax/KIND`.
    """
    if ours := os.environ.get(FOLDER_VARIABLE):
        return Path(ours).expanduser().absolute() / kind
    # The XDG specification: what is empty or relative counts as not set.
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = home if home.is_absolute() else Path.home() / ".cache"
    return home / "stylegan_jax" / kind


@contextlib.contextmanager
def exclusive(path: Path, *, refusal: str = "") -> Iterator[None]:
    """Locks `path` against other processes; UserError if its folder is not writable.

    `NAME.lock` stays: removing it would let two processes hold "the" lock. If another
    process holds it, `refusal` is a UserError; without one this process waits.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(f"{path.name}.lock"), "ab")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to ({error.strerror}); set "
            f"{FOLDER_VARIABLE} to a folder that can"
        ) from error
    with lock:  # closing it gives the lock back
        if not locks.take(lock):
            if refusal:
                raise UserError(refusal)
            _log.warning("waiting for another process: %s", path.name)
            locks.take(lock, wait=True)
        yield


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(path: Path, digest: str) -> None:
    """Writes `NAME.sha256` of a checked file."""
    atomic_write(_record_path(path), f"{digest}  {path.name}\n")


def recorded(path: Path) -> str | None:
    """The digest in `NAME.sha256`, None if missing or damaged."""
    try:
        words = _record_path(path).read_text("ascii", "replace").split()
    except OSError:
        return None
    return words[0] if words and re.fullmatch("[0-9a-f]{64}", words[0]) else None


def forget(path: Path) -> None:
    """Removes `NAME.sha256`."""
    _record_path(path).unlink(missing_ok=True)


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
