"""Pictures made to cost memory or time, by name."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

_MB = 1 << 20


def tags(count: int, size: int, header: bytes = b"II*\0") -> bytes:
    """`size` bytes of TIFF with `count` tags, each of them all the file."""
    order = ">" if header.startswith(b"M") else "<"
    start = header + struct.pack(order + "I", 8) + struct.pack(order + "H", count)
    table = b"".join(
        struct.pack(order + "HHII", 30_000 + i, 7, size - 8, 8) for i in range(count)
    )
    return (start + table).ljust(size, b"\0")


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + _crc(name + data)


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def encoded(kind: str, side: int = 16, **options) -> bytes:
    """An honest picture, all of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (10, 20, 30)).save(stream, kind, **options)
    return stream.getvalue()


def with_chunks(*chunks: bytes) -> bytes:
    """A PNG with more chunks after its header."""
    png = encoded("PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def segments(marker: int, data: bytes, head: bytes = b"") -> bytes:
    """Data over as many JPEG segments as it takes, each with its own head."""
    step = 65_533 - len(head)
    parts = [head + data[i : i + step] for i in range(0, len(data), step)]
    return b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(part) + 2) + part
        for part in parts
    )


def with_segments(data: bytes) -> bytes:
    """A JPEG with more segments at its start."""
    jpeg = encoded("JPEG")
    return jpeg[:2] + data + jpeg[2:]


def scans(count: int, side: int = 512) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    jpeg = encoded("JPEG", side, progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    parts = (
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_exif() -> bytes:
    """A WebP with EXIF data of many tags."""
    size = struct.pack("<I", 15)[:3]
    image = encoded("WEBP")
    at = image.index(b"VP8 ")
    data = image[at + 8 :]
    header = b"\x08\0\0\0" + size + size
    return riff((b"VP8X", header), (b"VP8 ", data), (b"EXIF", tags(3000, _MB)))


def avif_exif() -> bytes:
    """An AVIF with EXIF data of many tags."""
    return encoded("AVIF", exif=b"Exif\0\0" + tags(3000, _MB))


def avif_extents() -> bytes:
    """An AVIF whose picture is the same megabyte again and again."""
    avif = encoded("AVIF")
    at = avif.index(b"iloc") - 4
    (length,) = struct.unpack_from(">I", avif, at)
    offset = 8 + 8
    extents = struct.pack(">II", offset, _MB) * 4000
    table = b"\0\0\0\0\x44\0" + struct.pack(">HHHH", 1, 1, 0, 4000) + extents
    box = struct.pack(">I", len(table) + 8) + b"iloc" + table
    meta = avif.index(b"meta") - 4
    (whole,) = struct.unpack_from(">I", avif, meta)
    made = bytearray(avif[:at] + box + avif[at + length :] + bytes(_MB))
    struct.pack_into(">I", made, meta, whole + len(box) - length)
    return bytes(made)


def gif_comments() -> bytes:
    """A GIF with 16 MB of comment."""
    gif = encoded("GIF")
    at = gif.index(b",", 13 + 6)
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * (_MB // 16) + b"\0"
    return gif[:at] + comment + gif[at:]


def big_tiff_or_not() -> bytes:
    """One reader takes this for BigTIFF, another for the classic form."""
    return tags(300, _MB, b"MM\0+")


def tiff_tiles() -> bytes:
    """A TIFF of 16 pixels in a tile of two gigabytes."""
    entries = [(256, 16), (257, 16), (258, 8), (259, 5), (262, 1), (277, 1)]
    entries += [(322, 40_000), (323, 50_000), (324, 8), (325, 1000)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    start = b"II*\0" + struct.pack("<I", 2000)
    return start.ljust(2000, b"\1") + struct.pack("<H", len(entries)) + table + bytes(4)


def tiff_scans() -> bytes:
    """A TIFF with a JPEG of many scans inside."""
    inside = scans(2000, 1024)
    entries = [(256, 1024), (257, 1024), (258, 8), (259, 7), (262, 6), (273, 8)]
    entries += [(277, 3), (278, 1024), (279, len(inside))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    at = 8 + len(inside)
    start = b"II*\0" + struct.pack("<I", at)
    return start + inside + struct.pack("<H", len(entries)) + table + bytes(4)


def bmp_runs() -> bytes:
    """A BMP of 4,000 x 4,000 pixels in runs of one."""
    side = 4000
    runs = b"\1\2" * side * side
    start = 14 + 40 + 1024
    head = b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start)
    head += struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 1, 1, 0, 0)
    return head + bytes(1024) + runs


def _exif_again() -> bytes:
    return with_chunks(chunk(b"eXIf", b"Exif\0\0" * 2 + tags(3000, _MB)))


def _raw_profile(name: bytes, *, packed: bool) -> bytes:
    data = b"Exif\0\0" + tags(3000, _MB)
    text = b"\nexif\n%8d\n%s\n" % (len(data), data.hex().encode())
    text = b"\0" + zlib.compress(text) if packed else text
    return with_chunks(chunk(name, b"Raw profile type exif\0" + text))


def _text_bomb() -> bytes:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 * _MB)))
    return with_chunks(*[text] * 60)


def _mpf() -> bytes:
    return with_segments(segments(0xE2, tags(4000, 65_000), b"MPF\0"))


def _plain_ppm() -> bytes:
    return b"P3\n4000 4000\n255\n" + b"1 2 3 " * (4000 * 4000)


BOMBS: dict[str, Callable[[], bytes]] = {
    "EXIF twice in a PNG": _exif_again,
    "EXIF as text in a PNG": lambda: _raw_profile(b"tEXt", packed=False),
    "EXIF as packed text in a PNG": lambda: _raw_profile(b"zTXt", packed=True),
    "packed texts in a PNG": _text_bomb,
    "a million empty parts of a PNG": lambda: with_chunks(chunk(b"IDAT", b"") * 10**6),
    "EXIF in a JPEG": lambda: with_segments(
        segments(0xE1, tags(4000, _MB), b"Exif\0\0")
    ),
    "pictures after a JPEG": _mpf,
    "ICC profile of a JPEG": lambda: with_segments(
        segments(0xE2, bytes(16 * _MB), b"ICC_PROFILE\0\1\xff")
    ),
    "a million empty segments of a JPEG": lambda: with_segments(
        b"\xff\xe5\0\2" * 10**6
    ),
    "2000 scans of a JPEG": lambda: scans(2000, 1024),
    "EXIF in a WebP": webp_exif,
    "EXIF in an AVIF": avif_exif,
    "extents of an AVIF": avif_extents,
    "comments of a GIF": gif_comments,
    "tags of a TIFF": lambda: tags(3000, _MB),
    "BigTIFF or not": big_tiff_or_not,
    "tiles of a TIFF": tiff_tiles,
    "2000 scans in a TIFF": tiff_scans,
    "runs of a BMP": bmp_runs,
    "text of a PPM": _plain_ppm,
    "odd white of a PPM": lambda: b"P6\n6000 6000\n254\n" + bytes(6000 * 6000 * 3),
}
