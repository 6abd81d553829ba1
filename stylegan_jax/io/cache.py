"""Cache of downloaded and computed files: folder, locks, checksums.

`NAME.sha256`, in the format of `sha256sum`, marks a checked file.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path

from stylegan_jax.io import locks
from stylegan_jax.io.atomic import atomic_write

FOLDER_VARIABLE = "STYLEGAN_JAX_CACHE"


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


def exclusive(path: Path) -> contextlib.AbstractContextManager[None]:
    """Locks `path`, waiting for others; UserError if its folder is not writable."""
    hint = f"; set {FOLDER_VARIABLE} to a folder that can"
    lock = path.with_name(f"{path.name}.lock")
    return locks.held(lock, str(path), wait=True, hint=hint)


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
