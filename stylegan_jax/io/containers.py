"""Image files without their metadata, for decoders.

EXIF, XMP, ICC profiles, comments and other frames can make a few kilobytes cost
gigabytes or minutes. Only the parts that pixels need, and the orientation, are kept.

Sources: PNG (third edition) 5.3 and 11; ITU-T T.81 annex B (JPEG); GIF89a; RFC 9649
(WebP); ISO/IEC 14496-12 (boxes of AVIF); TIFF 6.0 in `tiff.py`.
"""

import contextlib
import io
import os
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import IO, NamedTuple

from stylegan_jax.errors import UserError
from stylegan_jax.io import tiff
from stylegan_jax.io.tiff import Piece, read_at

_MAX_PARTS = 100_000  # 512 MB of PNG in pieces of 8 kB, as usual, are 65,536
_MAX_BOXES = 1 << 24  # bytes of what describes an AVIF
_PNG_KEPT = {b"IHDR": 13, b"PLTE": 768, b"tRNS": 256, b"IDAT": 2**31, b"IEND": 0}
_RAW_PROFILE = re.compile(rb"Raw profile type (?:exif|APP1)\0")
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")
_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # before it, in a JPEG
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_AVIF_METADATA = re.compile(rb"Exif|mime|(?<=colr)(?:prof|rICC)")
_MAX_TEXT = 1 << 20


class Shown(NamedTuple):
    """A file without metadata."""

    kind: str  # Pillow's name of the format, or "PPM"
    stream: IO[bytes]  # seekable; reads from the file itself
    orientation: int = 1  # as EXIF counts, 1 to 8; 1 is upright
    scans: int = 1  # passes over the picture that a JPEG asks for


def kind_of(head: bytes) -> str | None:
    """Format by the first 16 bytes of a file, None if unsupported."""
    match = _SIGNATURES.match(head)
    return match.lastgroup if match else None


def show(file: IO[bytes], *, header: bool = False) -> Shown | None:
    """Strips the metadata of a seekable image file; None if it is no image.

    The file must stay open. With `header`, for sizes only, the walk ends at the pixels.
    Raises UserError for parts that no honest file has.
    """
    kind = kind_of(read_at(file, 0, 16))
    if kind is None:
        return None
    size = file.seek(0, os.SEEK_END)
    if kind == "PNG":
        pieces, turns = _png(file, size, header)
    else:
        pieces, turns = _WALKS[kind](file, size)
    stream = io.BufferedReader(_View(file, pieces), 1 << 16)
    orientation = next((turn for turn in turns if turn != 1), 1)
    scans = 1
    if kind == "JPEG" and not header:
        scans = sum(marker == 0xDA for marker, *_ in _segments(file, size))
    return Shown(kind, stream, orientation, scans)


class _View(io.RawIOBase):
    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        self._file, self._pieces, self._at = file, pieces, 0
        self._starts = [0, *accumulate(map(len, pieces))]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence, self._starts[-1])
        self._at = max(origin + offset, 0)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore
        place = bisect_right(self._starts, self._at) - 1
        if place == len(self._pieces):
            return 0
        inside = self._at - self._starts[place]
        part = self._pieces[place][inside : inside + len(buffer)]
        if isinstance(part, range):
            part = read_at(self._file, part.start, len(part))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


# Of each format: what is kept, and orientations, of which the first but 1 counts.
_Walk = tuple[list[Piece], list[int]]


def _whole(file: IO[bytes], size: int) -> _Walk:
    compression = read_at(file, 30, 4) if read_at(file, 0, 2) == b"BM" else b""
    if compression in (b"\1\0\0\0", b"\2\0\0\0") and size > 1 << 23:
        raise UserError("a run-length coded BMP of more than 8 MB")
    return [range(size)], []


def _chunks(
    file: IO[bytes], size: int, at: int, form: str
) -> Iterator[tuple[bytes, int, int, range]]:
    """Name, length and start of the data, and place, of each part of PNG or WebP."""
    for _ in range(_MAX_PARTS):
        if at >= size:
            return
        words = struct.unpack(form, read_at(file, at, 8).ljust(8, b"\0"))
        if form == ">I4s":
            length, name = words
            stop = at + 12 + length
        else:
            name, length = words
            stop = at + 8 + length + length % 2
        yield name, length, at + 8, range(at, min(stop, size))
        at = stop
    raise UserError(f"more than {_MAX_PARTS} parts")


def _png(file: IO[bytes], size: int, header: bool) -> _Walk:
    pieces: list[Piece] = [range(8)]
    turns: dict[bytes, int] = {}
    for name, length, start, place in _chunks(file, size, 8, ">I4s"):
        if length > _PNG_KEPT.get(name, length):
            raise UserError(f"{length} bytes of {name.decode()}")
        if header and name == b"IDAT":
            pieces.append(range(place.start, size))
            break
        if name in _PNG_KEPT:
            pieces.append(place)
        elif name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            text = read_at(file, start, min(length, _MAX_TEXT))
            turns.setdefault(name, _png_orientation(name, text))
        if name == b"IEND":
            break
    return pieces, [turn for _, turn in sorted(turns.items())]  # eXIf comes first


def _png_orientation(name: bytes, data: bytes) -> int:
    if name == b"eXIf":
        return tiff.orientation(data)
    if name == b"iTXt":
        return _xmp_orientation(data)
    profile = _RAW_PROFILE.match(data)
    if not profile:  # EXIF in hexadecimal digits, as ImageMagick writes it
        return 1
    text = data[profile.end() :]
    if name == b"zTXt":
        try:
            text = zlib.decompressobj().decompress(text[1:], _MAX_TEXT)
        except zlib.error:
            return 1
    words = text.split(None, 2)  # exif, the number of bytes, digits
    digits = re.sub(rb"[^0-9a-fA-F]", b"", words[2]) if len(words) == 3 else b""
    return tiff.orientation(bytes.fromhex(digits[: len(digits) & ~1].decode()))


def _xmp_orientation(data: bytes) -> int:
    match = _XMP_ORIENTATION.search(data)
    return int(match[1]) if match else 1


def _jpeg(file: IO[bytes], size: int) -> _Walk:
    pieces: list[Piece] = [range(2)]
    exif, xmp = 1, 1
    for marker, at, stop in _segments(file, size):
        if marker == 0xDA:
            pieces.append(range(at, size))
            break
        head = read_at(file, at + 4, 29) if marker & 0xF0 == 0xE0 else b""
        if marker == 0xE1 and head.startswith(b"Exif\0\0"):
            exif = tiff.orientation(read_at(file, at + 10, stop - at - 10))
        elif marker == 0xE1 and head.startswith(_XMP):
            xmp = _xmp_orientation(read_at(file, at + 33, stop - at - 33))
        elif (
            0xC0 <= marker <= 0xCF
            or marker in (0xDB, 0xDC, 0xDD)
            or (marker == 0xE0 and head.startswith(b"JFIF"))
            or (marker == 0xEE and head.startswith(b"Adobe"))
        ):
            pieces.append(range(at, stop))
    return pieces, [exif, xmp]


def _segments(file: IO[bytes], size: int) -> Iterator[tuple[int, int, int]]:
    """Marker, start (at the marker) and end of each segment of a JPEG."""
    at = 2
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 4)
        while not _MARKER.match(head):  # over coded pixels or junk
            block = read_at(file, at, 1 << 16)
            found = _MARKER.search(block)
            if not found and len(block) < 2:
                return
            at += found.start() if found else len(block) - 1
            head = read_at(file, at, 4)
        marker, stop = head[1], at + 2
        if marker == 0xD9:
            return
        if marker not in (0x01, 0xD8):  # these have no length
            if len(head) < 4:
                return
            stop += max(int.from_bytes(head[2:], "big"), 2)
        yield marker, at, min(stop, size)
        at = stop
    raise UserError(f"more than {_MAX_PARTS} parts")


def _gif(file: IO[bytes], size: int) -> _Walk:
    flags = read_at(file, 10, 1)
    at = 13 + (3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0)
    pieces: list[Piece] = [range(min(at, size))]
    control = range(0)
    in_text = False
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 2)
        if not head:
            return pieces, []
        if in_text:
            in_text, at = head[0] > 0, at + 1 + head[0]
        elif head[:1] == b"!":
            if head[1:] == b"\xf9":  # the colour that is transparent
                control = range(at, min(at + 8, size))
            in_text, at = True, at + 2
        elif head[:1] == b",":
            return [*pieces, control, range(at, size)], []
        else:
            at += 1
    raise UserError(f"more than {_MAX_PARTS} parts before the picture")


def _webp(file: IO[bytes], size: int) -> _Walk:
    kept: list[Piece] = []
    exif, xmp = 1, 1
    for name, length, start, place in _chunks(file, size, 12, "<4sI"):
        if name == b"VP8X":  # clears the flags of metadata
            head = read_at(file, place.start, 9).ljust(9, b"\0")
            kept += [head[:8] + bytes([head[8] & ~0x2C]), place[9:]]
        elif name in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            kept.append(place)
        elif name == b"EXIF":
            exif = tiff.orientation(read_at(file, start, length))
        elif name == b"XMP ":
            xmp = _xmp_orientation(read_at(file, start, min(length, _MAX_TEXT)))
    riff = b"RIFF" + struct.pack("<I", 4 + sum(map(len, kept))) + b"WEBP"
    return [riff, *kept], [exif, xmp]


def _avif(file: IO[bytes], size: int) -> _Walk:
    """Renames metadata to be skipped; orientation is a property (MIAF, 7.3.6.7)."""
    pieces: list[Piece] = []
    at = described = 0
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 16)
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if 0 < length < 8:
            raise UserError(f"a box of {length} bytes")
        stop = min(at + (length or size), size)
        if head[4:8] in (b"mdat", b"free", b"skip"):
            pieces.append(range(at, stop))
        else:
            described += stop - at
            if described > _MAX_BOXES:
                raise UserError(f"over {_MAX_BOXES >> 20} MB that describe it")
            box = read_at(file, at, stop - at)
            for table in re.finditer(b"iloc", box):
                with contextlib.suppress(IndexError, struct.error):  # cut off, or none
                    extents = _extents(memoryview(box)[table.start() :])
                    total = sum(length or size for length in extents)
                    if total > 2 * size:
                        raise UserError(f"items of {total} bytes in {size}")
            pieces.append(_AVIF_METADATA.sub(b"skip", box))
        at = stop
    return pieces, []


def _extents(box: memoryview) -> Iterator[int]:
    """Lengths of all extents; `box` begins at its name, `iloc`."""
    version = box[4]
    offset_size, length_size = box[8] >> 4, box[8] & 15
    base_size, index_size = box[9] >> 4, box[9] & 15 if version else 0
    wide = "I" if version == 2 else "H"
    (items,) = struct.unpack_from(f">{wide}", box, 10)
    at = 10 + struct.calcsize(wide)
    for _ in range(min(items, 1 << 16)):
        at += struct.calcsize(wide) + (2 if version else 0) + 2 + base_size
        (count,) = struct.unpack_from(">H", box, at)
        at += 2
        for _ in range(count):
            at += index_size + offset_size
            yield int.from_bytes(box[at : at + length_size], "big")
            at += length_size
        if at > len(box):
            raise IndexError


_SIGNATURES = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<WEBP>RIFF....WEBP)|"
    rb"(?P<AVIF>....ftyp(?:avif|avis|mif1|msf1|mif2))|(?P<GIF>GIF8[79]a)|(?P<BMP>BM)|"
    rb"(?P<TIFF>II\*\0|MM\0\*|II\+\0)|(?P<PPM>P[1-6][\s#])",
    re.DOTALL,
)
_WALKS = {
    **{"JPEG": _jpeg, "WEBP": _webp, "AVIF": _avif, "GIF": _gif},
    **{"TIFF": tiff.walk, "BMP": _whole, "PPM": _whole},
}
