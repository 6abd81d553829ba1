"""A check of TIFF directories before an image library believes them.

A directory is a table of tags, each with the place and length of its value. Nothing in
the format keeps a thousand tags from naming the same megabyte, and a reader that
copies every value then makes a gigabyte of it. In honest files values do not overlap,
so together they are no longer than the file.

Source: TIFF 6.0, section 2; BigTIFF doubles the sizes of its fields.
"""

import os
import struct
from typing import IO

# Bytes of one value of each type, from 1: BYTE, ASCII, SHORT, LONG, RATIONAL, ...
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}
_MAX_TAGS = 4096  # real files have some dozens


class AbsurdDirectoryError(ValueError):
    """The values of a directory cannot all be in the file."""


def check_directory(stream: IO[bytes]) -> None:
    """Looks at the first directory; does nothing where there is no TIFF header.

    Args:
        stream: at the start of the TIFF data, which goes on to the end of the stream;
            left anywhere.

    Raises:
        AbsurdDirectoryError: too many tags, or together longer than the data.
    """
    start = stream.tell()
    header = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 8:
        return
    (version,) = struct.unpack_from(f"{order}H", header, 2)
    big = version == 43
    if big and len(header) < 16:
        return
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), header, 8 * big or 4)
    whole = stream.seek(0, os.SEEK_END) - start
    if offset >= whole:
        return  # there is nothing to be read
    stream.seek(start + offset)
    counter, entry = (order + "Q", order + "HHQ8x") if big else (order + "H", "")
    entry = entry or order + "HHI4x"
    head = stream.read(struct.calcsize(counter))
    if len(head) < struct.calcsize(counter):
        return
    (count,) = struct.unpack(counter, head)
    if count > _MAX_TAGS:
        raise AbsurdDirectoryError(f"a directory of {count} tags")
    table = stream.read(count * struct.calcsize(entry))
    table = table[: len(table) // struct.calcsize(entry) * struct.calcsize(entry)]
    total = sum(
        number * _SIZES.get(kind, 0)
        for _, kind, number in struct.iter_unpack(entry, table)
    )
    if total > whole:
        raise AbsurdDirectoryError(f"tags of {total} bytes in {whole}")
