"""TIFF directories, also of EXIF data, reduced to the tags that pixels need.

A thousand tags may name the same megabyte; a decoder gets a new directory of those
that pixels need, with lengths that the file can have.

Source: TIFF 6.0, section 2; BigTIFF doubles the sizes of its fields.
"""

import io
import struct
from typing import IO, NamedTuple

from stylegan_jax.errors import UserError

Piece = bytes | range

# Bytes of one value of each type, from 1: BYTE, ASCII, SHORT, LONG, RATIONAL, ...
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}
_MAX_TAGS = 4096  # real files have some dozens
_MAX_VALUES = 2**18  # of one tag: strips of a row, or a map of 65,536 colours

_WIDTH, _LENGTH, _ORIENTATION = 256, 257, 274
_ROWS, _TILE_WIDTH, _TILE_LENGTH = 278, 322, 323
# Sizes, depth, colours, offsets and compression of strips and tiles.
_PIXEL_TAGS = {_WIDTH, _LENGTH, 258, 259, 262, 266, 273, 277, _ROWS, 279}
_PIXEL_TAGS |= {284, 292, 293, 317, 320, _TILE_WIDTH, _TILE_LENGTH, 324, 325, 338}
_PIXEL_TAGS |= {339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531}
_PIXEL_TAGS |= {532}


class _Directory(NamedTuple):
    order: str  # of bytes: < or >
    big: bool
    entries: list[tuple[int, int, int, bytes]]  # tag, type, count, value or its place

    def number(self, tag: int) -> int:
        """Whole number in the table itself; 0 if there is none."""
        for found, kind, count, value in self.entries:
            if found == tag and count == 1 and kind in (1, 3, 4, 16):
                form = {1: "B", 3: "H", 4: "I", 16: "Q"}[kind]
                if struct.calcsize(form) <= len(value):
                    return struct.unpack_from(self.order + form, value)[0]
        return 0

    def orientation(self) -> int:
        turned = self.number(_ORIENTATION)
        return turned if 1 <= turned <= 8 else 1


def read_at(file: IO[bytes], at: int, count: int) -> bytes:
    """Up to `count` bytes at offset `at`."""
    file.seek(at)
    return file.read(max(count, 0))


def orientation(exif: bytes) -> int:
    """Orientation in EXIF data, 1 to 8; 1 if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        return _read(io.BytesIO(exif), len(exif)).orientation()
    except UserError:
        return 1


def walk(file: IO[bytes], size: int) -> tuple[list[Piece], list[int]]:
    """The first image of a TIFF file, for `containers.show`; or UserError."""
    directory = _read(file, size)
    entries = [e for e in directory.entries if e[0] in _PIXEL_TAGS and e[1] in _SIZES]
    for tag, _, count, _ in entries:
        if count > _MAX_VALUES:
            raise UserError(f"tag {tag} has {count} values")
    total = sum(count * _SIZES[kind] for _, kind, count, _ in entries)
    if total > size:
        raise UserError(f"tags of {total} bytes in {size}")
    height = directory.number(_LENGTH)
    for tag, side in ((_TILE_WIDTH, _WIDTH), (_TILE_LENGTH, _LENGTH)):
        tile, limit = directory.number(tag), 2 * directory.number(side) + 1024
        if tile > limit:
            raise UserError(f"tiles of {tile} pixels in {limit}")
    order, big = directory.order, directory.big
    form, rows = order + ("HHQ8s" if big else "HHI4s"), "Q" if big else "I"
    table = b"".join(
        # Decoders allocate all rows of a strip, even beyond the picture.
        struct.pack(form, tag, 16 if big else 4, 1, struct.pack(order + rows, height))
        if tag == _ROWS and directory.number(_ROWS) > height
        else struct.pack(form, tag, kind, count, value)
        for tag, kind, count, value in entries
    )
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    place = size + size % 2
    start = read_at(file, 0, 8 if big else 4) + struct.pack(order + rows, place)
    pieces: list[Piece] = [start, range(len(start), size), bytes(size % 2)]
    pieces.append(count + table + bytes(len(rows) * 8))
    return pieces, [directory.orientation()]


def _read(file: IO[bytes], size: int) -> _Directory:
    head = read_at(file, 0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        return _Directory("<", False, [])
    big = head[2:4] == struct.pack(order + "H", 43)
    place, counter, form = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    counter, form = struct.Struct(order + counter), struct.Struct(order + form)
    try:
        (at,) = struct.unpack_from(order + place, head, 8 if big else 4)
        (count,) = counter.unpack(read_at(file, min(at, size), counter.size))
    except struct.error:  # cut off
        return _Directory(order, big, [])
    if count > _MAX_TAGS:
        raise UserError(f"a directory of {count} tags")
    table = file.read(count * form.size)
    whole = len(table) // form.size * form.size
    return _Directory(order, big, list(form.iter_unpack(table[:whole])))
