"""Netpbm images P1 to P6 (PBM, PGM, PPM), text and binary.

Pillow takes minutes for texts, and for samples that do not end at 255.

Source: the manuals of pbm, pgm and ppm, netpbm.sourceforge.net.
"""

import re
from typing import IO, NamedTuple

import numpy as np

from stylegan_jax.errors import UserError

MAX_TEXT_BYTES = 1 << 26
_COMMENT = re.compile(rb"#[^\r\n]*")
_HEAD = re.compile(rb"P([1-6])\s+(\d{1,9})\s+(\d{1,9})(?:\s+(\d{1,9}))?", re.DOTALL)
_HEAD_BYTES = 4096


class Header(NamedTuple):
    """The header; samples begin at byte `start`."""

    kind: int  # the number after P
    width: int
    height: int
    largest: int  # a sample that is white
    start: int

    @property
    def channels(self) -> int:
        """1 of grey, 3 of RGB."""
        return 3 if self.kind in (3, 6) else 1

    @property
    def held(self) -> int:
        """Bytes that reading takes for each pixel."""
        return (12 if self.kind in (2, 3) else 4) * self.channels


def read_header(file: IO[bytes]) -> Header:
    """Parses the header."""
    file.seek(0)
    # Blanks for comments keep offsets.
    text = _COMMENT.sub(lambda m: b" " * len(m[0]), file.read(_HEAD_BYTES))
    match = _HEAD.match(text)
    bits = match is not None and match[1] in b"14"
    if match is None or (match[4] is None and not bits):
        raise UserError("no width, height and largest sample in its first lines")
    kind, width, height = (int(match[i]) for i in (1, 2, 3))
    largest, stop = (1, match.end(3)) if bits else (int(match[4]), match.end(4))
    if not 0 < largest < 65536:
        raise UserError(f"the largest sample, {largest}, is not within 1 to 65535")
    return Header(kind, width, height, largest, stop + 1)  # and one blank


def read_samples(file: IO[bytes], header: Header) -> np.ndarray:
    """Pixels `[height, width, channels]`: uint8, but uint16 of samples up to 65535."""
    kind, width, height, largest, start = header
    count = width * height * header.channels
    file.seek(start)
    if kind <= 3:
        text = file.read(MAX_TEXT_BYTES + 1)
        if len(text) > MAX_TEXT_BYTES:
            raise UserError(f"text of over {MAX_TEXT_BYTES >> 20} MB; save it binary")
        text = _COMMENT.sub(b" ", text)
        if kind == 1:  # digits, with blanks between them or not; 1 is black
            samples = ord("1") - np.frombuffer(b"".join(text.split()), np.uint8)
        else:
            if re.search(rb"[^\d\s]", text):
                raise UserError("samples that are no numbers")
            samples = np.fromstring(text.decode(), np.float32, sep=" ")
    elif kind == 4:
        rows = np.frombuffer(file.read((width + 7) // 8 * height), np.uint8)
        if len(rows) < (width + 7) // 8 * height:
            raise UserError("truncated")
        rows = rows.reshape(height, -1)
        samples = 1 - np.unpackbits(rows, axis=1, count=width).ravel()
    else:
        form = np.dtype(">u2" if largest > 255 else "u1")
        samples = np.frombuffer(file.read(count * form.itemsize), form)
    if len(samples) < count:
        raise UserError(f"truncated: {len(samples)} of {count} samples")
    samples = samples[:count].reshape(height, width, header.channels)
    if count and samples.max() > largest:
        raise UserError(f"a sample of {samples.max():g}, above {largest}")
    samples = samples.astype(np.uint8 if largest < 256 else np.uint16)
    if largest not in (255, 65535):
        scale = np.arange(largest + 1) * 255 / largest
        samples = np.rint(scale).astype(np.uint8)[samples]
    return samples
