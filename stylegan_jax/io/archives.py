"""Untrusted zip files: bounds on entries and members before anything is unpacked.

Nothing is extracted to disk, so member names cannot reach outside.
"""

import os
import struct
import zipfile
import zlib
from typing import IO

from stylegan_jax.errors import UserError
from stylegan_jax.io import records

# Unpacked over packed bytes: images and arrays hardly shrink; text does, tenfold.
_MAX_RATIO = 100
_FREE = 2**20  # bytes; below this any ratio is accepted
_MAX_DIRECTORY_BYTES = 2**28
_MAX_ENTRIES = 2**21  # each takes 2 kB of memory
_FREE_ENTRIES = 1000  # in a file of any size
_ENTRY_BYTES = 256  # of the file for each; two headers and a picture have more

# Exceptions from damaged, encrypted (RuntimeError) or unusual archives.
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError),
    *(ValueError, OSError, struct.error, OverflowError),
)


class SuspiciousArchiveError(UserError):
    """An archive, or a member of one, that no honest program writes."""


def open_zip(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    """Opens a zip file; one of `UNREADABLE` if it is damaged.

    SuspiciousArchiveError for too many entries, or members that share their bytes.
    """
    with records.open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        check_directory(file, size)
    archive = zipfile.ZipFile(path)
    members = archive.infolist()
    stored = sum(info.compress_size for info in members)
    places = {info.header_offset for info in members}
    if stored > size or len(places) < len(members):
        archive.close()
        raise SuspiciousArchiveError(
            f"{len(members)} members of {stored} bytes in a file of {size} bytes: they "
            "share their bytes"
        )
    return archive


def check_directory(file: IO[bytes], size: int) -> None:
    """Raises SuspiciousArchiveError for more entries than the file's size explains.

    Counts them itself: the number in the end record may be false, and `zipfile` makes
    objects of all.
    """
    # The search of `zipfile` itself: another one could find another record.
    record = zipfile._EndRecData(file)  # pyright: ignore[reportAttributeAccessIssue]
    if record is None:
        return  # no zip file: zipfile says so
    signature, length, end = record[0], record[5], record[9]
    if length > min(size, _MAX_DIRECTORY_BYTES):
        raise SuspiciousArchiveError(f"a directory of {length} bytes")
    if signature == b"PK\6\6":
        end -= 76  # the two records of zip64
    file.seek(max(0, end - length))
    entries = file.read(length).count(b"PK\1\2")
    if entries > max(_FREE_ENTRIES, min(size // _ENTRY_BYTES, _MAX_ENTRIES)):
        raise SuspiciousArchiveError(f"{entries} entries in {size} bytes")


def check_member(info: zipfile.ZipInfo, *, max_bytes: int) -> None:
    """Raises SuspiciousArchiveError for a member that is encrypted or a zip bomb.

    `zipfile` reads no more than the size in the directory, whatever the data.
    """
    if info.flag_bits & 1:
        raise SuspiciousArchiveError("encrypted")
    if info.file_size > min(max(info.compress_size * _MAX_RATIO, _FREE), max_bytes):
        raise SuspiciousArchiveError(
            f"unpacks from {info.compress_size} to {info.file_size} bytes"
        )
