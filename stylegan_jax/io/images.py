"""Image files: reading, writing, 8-bit conversion, channels.

An image is uint8 `[H, W, C]`: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
"""

import io
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import decoding
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.decoding import MODES, UnreadableImageError, from_array

Whites = Mapping[str, float]  # by kind of sample, see `decoding.Header`

FULL: Whites = {"16-bit": 65535, "32-bit": 65535, "float": 1}
_BITS = (8, 10, 12, 14, 16, 24, 31)
# Signature and end mark of complete files.
_ENDINGS = {b"\x89PNG": b"IEND\xaeB`\x82", b"\xff\xd8": b"\xff\xd9", b"GIF8": b"\x3b"}
_logger = logging.getLogger(__name__)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts floats in [-1, 1], of any shape, to the nearest of 256 levels.

    Values outside saturate and NaN becomes mid grey; integers are a TypeError.

    Source: `convert_images_to_uint8`, `dnnlib/tflib/tfutil.py`, and
    `convert_to_pil_image`, `training/misc.py`, in NVlabs/stylegan.
    """
    images = np.asarray(images)
    if images.dtype.kind in "iub":
        raise TypeError(f"to_uint8 takes floats in [-1, 1], got {images.dtype}")
    levels = np.clip(np.nan_to_num(images.astype(np.float32), nan=0.0), -2, 2)
    levels = np.floor(levels * np.float32(127.5) + np.float32(128))
    return np.clip(levels, 0, 255).astype(np.uint8)


def from_uint8(images: np.ndarray) -> np.ndarray:
    """Converts uint8 images, of any shape, to float32 in [-1, 1]."""
    return np.asarray(images).astype(np.float32) / np.float32(127.5) - np.float32(1)


def read_image(
    source: str | os.PathLike | bytes,
    num_channels: int = 3,
    *,
    whites: Whites | None = None,
    shrink: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels,
) -> np.ndarray:
    """Reads an image file, or the bytes of one, as uint8 `[H, W, num_channels]`.

    Applies EXIF rotation, takes the first frame of an animation, and composites
    transparency over white unless alpha is wanted. UnreadableImageError if damaged.
    `whites` are the values that become 255 in files of more than 8 bits, by kind of
    sample; by default the largest value of each file decides. Until `shrink` of the
    result is done, other threads wait with large images.
    """
    if num_channels not in MODES:
        raise UserError(f"num_channels {num_channels} is not 1, 2, 3 or 4")
    with (
        _opened(source) as file,
        decoding.decoded(file, num_channels) as (levels, kind),
    ):
        if kind != "8-bit":
            if whites is None:
                whites = {kind: _white(levels, kind, source)}
            white = whites.get(kind) or FULL[kind]
            levels = to_8_bits(levels, kind, white)
            levels = decoding.to_channels(levels, num_channels)
        return shrink(levels)


def _white(levels: np.ndarray, kind: str, source: str | os.PathLike | bytes) -> float:
    try:
        high = largest(levels)
        white = white_of(kind, high)
    except UserError as error:
        raise UnreadableImageError(f"{kind} samples: {error}") from error
    if white != FULL[kind]:
        name = "an image" if isinstance(source, bytes) else os.fspath(source)
        how = reading(kind, high, white)
        _logger.warning("%s has %s samples, %s", name, kind, how)
    return white


def read_levels(source: str | os.PathLike | bytes) -> tuple[np.ndarray, str]:
    """Reads an image unscaled and with all channels; as `decoding.decoded`."""
    with _opened(source) as file, decoding.decoded(file) as found:
        return found


def _opened(source: str | os.PathLike | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def read_header(stream: IO[bytes], *, check_end: bool = True) -> decoding.Header:
    """Size of an image, before any rotation, and kind; or UnreadableImageError.

    With `check_end`, a file that lacks its format's end mark is decoded: this finds
    truncated files cheaply.
    """
    header = decoding.read_header(stream)
    stream.seek(0)
    start = stream.read(4)
    ending = _ENDINGS.get(start) or _ENDINGS.get(start[:2], b"")
    if check_end and ending:
        stream.seek(-min(len(ending), stream.seek(0, os.SEEK_END)), os.SEEK_END)
        if stream.read() != ending:
            with decoding.decoded(stream):
                pass
    return header


def convert_channels(image: np.ndarray, num_channels: int) -> np.ndarray:
    """Converts uint8 `[H, W, C]` to `num_channels`, with the rules of `read_image`."""
    if image.ndim != 3:
        raise UserError(f"{image.shape} is not an image [H, W, 1-4]")
    if image.shape[2] == num_channels and image.dtype == np.uint8:
        return image
    return decoding.to_channels(image, num_channels)


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of a uint8 `[H, W]` or `[H, W, 1-4]` image."""
    stream = io.BytesIO()
    from_array(image).save(stream, "png")
    return stream.getvalue()


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a uint8 `[H, W]` or `[H, W, 1-4]` image atomically."""
    atomic_write(Path(path), encode_png(image))


# --- Depth: samples of 16 or 32 bits may hold only 10, 12 or 14 --------------------


def largest(levels: np.ndarray) -> float:
    """The largest value of `[H, W, C]` without alpha; all must be finite and >= 0."""
    colours = levels[:, :, : -1 if levels.shape[2] in (2, 4) else None]
    low, high = float(colours.min()), float(colours.max())
    if not (low >= 0 and np.isfinite(high)):
        raise UserError(f"values from {low:g} to {high:g}, not from 0 up")
    return high


def white_of(kind: str, high: float) -> float:
    """The white of samples up to `high`, of the fewest bits; floats are up to 1."""
    if kind == "float":
        if high > 1:
            raise UserError(f"floats up to {high:g}, not from 0 to 1")
        return 1
    return next(2**bits - 1 for bits in _BITS if high < 2**bits)


def reading(kind: str, high: float, white: float) -> str:
    """The decision in words, for a message."""
    how = "0 to 1" if kind == "float" else f"{int(white).bit_length()} bits"
    return f"largest value {high:g}: read as {how}"


def to_8_bits(levels: np.ndarray, kind: str, white: float) -> np.ndarray:
    """Scales `[H, W, C]` so that `white` is 255; alpha by its full range."""
    if levels.shape[2] in (2, 4):
        alpha = to_8_bits(levels[:, :, -1:], kind, FULL[kind])
        return np.dstack([to_8_bits(levels[:, :, :-1], kind, white), alpha])
    if levels.dtype == np.uint16:
        table = np.rint(np.arange(65536) * 255 / white).clip(max=255)
        return table.astype(np.uint8)[levels]
    scaled = np.nan_to_num(levels, nan=0) * np.float32(255 / white)
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)
