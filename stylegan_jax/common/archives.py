"""Zip files of strangers: what is bounded before anything is unpacked.

Nothing is ever extracted to disk, so the names of members cannot reach outside. What
remains are directories of millions of entries and members that swell.
"""

import os
import struct
import zipfile
import zlib
from pathlib import Path

# Of a member's bytes in the zip. Images and arrays hardly shrink; text does, tenfold.
MAX_RATIO = 100
_FREE_BYTES = 2**20  # a small member may shrink as much as it likes
_MAX_DIRECTORY_BYTES = 2**29  # five million names; Python makes 1 kB of each

# What a damaged, encrypted or unusual archive raises.
UNREADABLE = (
    zipfile.BadZipFile,  # also a wrong checksum
    zlib.error,
    NotImplementedError,  # a compression method that Python does not know
    EOFError,
    RuntimeError,  # encrypted
    ValueError,
    OSError,
    struct.error,
    OverflowError,
)


class SuspiciousArchiveError(ValueError):
    """An archive, or a member of one, that is not what an honest program writes."""


def open_zip(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    """Opens a zip file whose directory is of a sane size.

    Raises:
        SuspiciousArchiveError: the directory is not.
        Exception: one of `UNREADABLE`: it is not a zip file, or damaged.
    """
    _check_directory(Path(path))
    return zipfile.ZipFile(path)


def _check_directory(path: Path) -> None:
    """The directory's size, as its end record says it; zipfile reads that much."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - (1 << 17)))  # the record may have 64 kB of comment
        tail = file.read()
    for signature, layout, offset in ((b"PK\5\6", "<I", 12), (b"PK\6\6", "<Q", 40)):
        at = tail.rfind(signature)
        if at < 0 or len(tail) < at + offset + 8:
            continue
        (length,) = struct.unpack_from(layout, tail, at + offset)
        other = (layout, length) == ("<I", 0xFFFFFFFF)  # see the other record
        if length > _MAX_DIRECTORY_BYTES and not other:
            raise SuspiciousArchiveError(f"a directory of {length} bytes")


def check_member(
    info: zipfile.ZipInfo, *, max_bytes: int, max_ratio: int = MAX_RATIO
) -> None:
    """Raises SuspiciousArchiveError for a member that is encrypted or swells.

    What the directory says is what is read at most: `zipfile` stops there, whatever
    the compressed data would go on to.
    """
    if info.flag_bits & 1:
        raise SuspiciousArchiveError("encrypted")
    if info.file_size > min(
        max(info.compress_size * max_ratio, _FREE_BYTES), max_bytes
    ):
        raise SuspiciousArchiveError(
            f"unpacks from {info.compress_size} to {info.file_size} bytes"
        )
