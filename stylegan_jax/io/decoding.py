"""Image decoding by Pillow, within bounds on memory.

An image that takes more than a gigabyte to decode is rejected; all threads together
take at most half of one, or decode a single image.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from stylegan_jax.errors import UserError
from stylegan_jax.io import containers, pnm, tiff

MAX_BYTES = 10**9  # of memory, for one picture
MAX_FILE_BYTES = 2**29  # 150 million pixels, 24 bits each, not compressed
_AT_ONCE = MAX_BYTES // 2
_STRIP = 1 << 20  # pixels converted at a time
_MAX_SCANS = 100  # as libtiff, which counts those of a TIFF
_SCANNED = 3 * 10**9  # pixels times scans: some 10 s

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# Bytes per pixel in Pillow, if not 4; and upper bounds within decoders.
_KEPT = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
_HELD = {"WEBP": 12, "AVIF": 12}

Image.init()  # loads all decoders; Pillow would only do so on failure


class UnreadableImageError(UserError):
    """A file is not an image, is damaged, or is of an unsupported kind."""


class Header(NamedTuple):
    """Size before any rotation, and the kind of one sample."""

    height: int
    width: int
    kind: str  # "8-bit", "16-bit", "32-bit" or "float"


class _Budget:
    """Semaphore over an amount; a single caller is always let in."""

    def __init__(self, limit: int) -> None:
        self._limit, self._taken = limit, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, amount: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(
                lambda: not self._taken or self._taken + amount <= self._limit
            )
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()


budget = _Budget(_AT_ONCE)


def read_header(file: IO[bytes]) -> Header:
    """The header; UnreadableImageError for no image, or one too large to decode."""
    with _readable():
        shown = _show(file, header=True)
        image = _open(shown)
        _cost(image, shown)
        return Header(image.height, image.width, _kind(image))


@contextlib.contextmanager
def decoded(
    file: IO[bytes], channels: int | None = None
) -> Iterator[tuple[np.ndarray, str]]:
    """Decodes the first image of a seekable file, upright; or UnreadableImageError.

    Yields `[H, W, C]` and its kind, as in `Header`: uint8 with `channels` (1 to 4, by
    default the file's); deeper files uint16, int32 or float32, values and channels as
    in the file. The memory counts until the context ends; other threads may wait.
    """
    with contextlib.ExitStack() as held:
        with _readable():
            shown = _show(file)
            image = _open(shown)
            held.enter_context(budget.take(_cost(image, shown)))
            turned, kind = shown.orientation, _kind(image)
            if isinstance(image, pnm.Header):
                pixels = pnm.read_samples(shown.stream, image)
                if channels and kind == "8-bit":
                    pixels = to_channels(pixels, channels)
            else:
                if shown.kind == "AVIF":  # Pillow converts its properties to EXIF
                    turned = tiff.orientation(image.info.get("exif", b""))
                deep = kind == "16-bit"
                pixels = _deep(image, shown) if deep else _loaded(image, channels)
            del image
            pixels = _upright(pixels, turned)
        yield pixels, kind


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except UnreadableImageError:
        raise
    except Exception as error:  # damaged files raise almost anything
        raise UnreadableImageError(f"damaged: {error}") from error


def _show(file: IO[bytes], *, header: bool = False) -> containers.Shown:
    shown = containers.show(file, header=header)
    if shown is None:
        empty = file.seek(0, os.SEEK_END) == 0
        raise UnreadableImageError("empty file" if empty else "not an image")
    return shown


def _open(shown: containers.Shown) -> Any:
    shown.stream.seek(0)
    if shown.kind == "PPM":
        return pnm.read_header(shown.stream)
    # Image.open would warn of large pictures and try all formats.
    factory, _ = Image.OPEN[shown.kind]
    return factory(shown.stream, "")


def _cost(image: Any, shown: containers.Shown) -> int:
    """Bytes that decoding takes at most; UnreadableImageError if they are too many."""
    pixels, size = image.width * image.height, f"{image.width}x{image.height}"
    if not pixels:
        raise UnreadableImageError("no pixels")
    if isinstance(image, pnm.Header):
        each = image.held
    else:
        held = _HELD.get(shown.kind, 0)
        multiple = shown.scans > 1 or image.info.get("progressive")
        if shown.kind == "JPEG" and multiple:
            held = 2 * len(image.getbands())  # all coefficients
            scans = max(shown.scans, 2)
            if scans > _MAX_SCANS or scans * pixels > _SCANNED:
                raise UnreadableImageError(f"{scans} scans of {size} pixels")
        made = 4 if image.mode == "P" else len(image.getbands())
        made *= {"8-bit": 1, "16-bit": 2}.get(_kind(image), 4)
        each = _KEPT.get(image.mode, 4) + max(held, made)
    if pixels * each > MAX_BYTES:
        raise UnreadableImageError(
            f"{size} pixels would take {pixels * each / 1e9:.1f} GB to decode, over "
            f"{MAX_BYTES / 1e9:.0f} GB"
        )
    return pixels * each


def _kind(image: Any) -> str:
    if isinstance(image, pnm.Header):
        return "16-bit" if image.largest == 65535 else "8-bit"
    if image.mode.startswith("I;16"):
        return "16-bit"
    if image.mode in ("I", "F"):
        return {"I": "32-bit", "F": "float"}[image.mode]
    return "16-bit" if any(";16" in _rawmode(tile) for tile in image.tile) else "8-bit"


def _deep(image: ImageFile.ImageFile, shown: containers.Shown) -> np.ndarray:
    """16-bit samples; of colours Pillow alone would keep the high bytes."""
    if image.mode.startswith("I;16"):
        return _loaded(image).astype(np.uint16, copy=False)
    if _rawmode(image.tile[0]).startswith("LA"):  # as many bytes as RGBA of 8 bits
        image.tile = [_with_rawmode(tile, "RGBA") for tile in image.tile]
        pixels = _loaded(image).astype(np.uint16)
        return pixels[:, :, 0::2] << 8 | pixels[:, :, 1::2]
    pixels = _loaded(image).astype(np.uint16) << 8
    image = _open(shown)
    low = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}
    image.tile = [
        _with_rawmode(tile, (mode := _rawmode(tile))[:-1] + low[mode[-1]])
        for tile in image.tile
    ]
    pixels |= _loaded(image)
    return pixels


def _rawmode(tile: tuple) -> str:
    """Layout of samples in the file, in Pillow's notation."""
    args = tile[3]
    mode = args[0] if isinstance(args, tuple) else args
    return mode if isinstance(mode, str) else ""


def _with_rawmode(tile: tuple, mode: str) -> Any:
    """The tile in another layout; the opposite byte order yields the low bytes."""
    codec, box, offset, args = tile
    args = (mode, *args[1:]) if isinstance(args, tuple) else mode
    return ImageFile._Tile(codec, box, offset, args)


def _loaded(image: Image.Image, channels: int | None = None) -> np.ndarray:
    """The pixels; converted in strips, so that nothing is twice in memory."""
    image.load()
    rows = max(_STRIP // image.width, 1)
    if rows >= image.height:
        return _pixels(image, channels)
    made = np.empty(0)
    for top in range(0, image.height, rows):
        stop = min(top + rows, image.height)
        part = _pixels(image.crop((0, top, image.width, stop)), channels)
        if not top:
            made = np.empty((image.height, *part.shape[1:]), part.dtype)
        made[top:stop] = part
    return made


def _pixels(image: Image.Image, channels: int | None) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)[:, :, None]
    if "transparency" in image.info or image.mode in ("PA", "RGBa", "La"):
        image = image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    elif image.mode not in MODES.values():
        image = image.convert("L" if image.mode == "1" else "RGB")
    channels = channels or len(image.getbands())
    if image.mode in ("LA", "RGBA") and channels in (1, 3):
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white.convert("RGB")  # drops the alpha, now 255 everywhere
    return np.asarray(image.convert(MODES[channels])).reshape(*image.size[::-1], -1)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Converts uint8 `[H, W, 1-4]`, compositing transparency over white."""
    if pixels.shape[2] == channels:
        return pixels
    return _loaded(from_array(pixels), channels)


def from_array(image: np.ndarray) -> Image.Image:
    """Pillow image of a uint8 `[H, W]` or `[H, W, 1-4]` array."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.dtype != np.uint8 or (image.ndim != 2 and image.shape[-1] not in MODES):
        raise UserError(f"{image.dtype} {image.shape} is not a uint8 [H, W, 1-4] image")
    return Image.fromarray(np.ascontiguousarray(image))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    pixels = pixels[:: -1 if down else 1, :: -1 if across else 1]
    return np.ascontiguousarray(pixels)
