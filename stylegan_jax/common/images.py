"""Images at the edges of the program: files, bytes, grids and 8-bit conversion.

Here an image is a uint8 array `[H, W, C]` with 1 (grey), 2 (grey, alpha), 3 (RGB)
or 4 (RGB, alpha) channels. This is the only module that imports Pillow.
"""

import contextlib
import functools
import io
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from stylegan_jax.common import tiff
from stylegan_jax.common.files import atomic_write

# Larger ones are refused unread: a few kilobytes can claim gigabytes of pixels.
MAX_PIXELS = 150_000_000
MAX_FILE_BYTES = 2**29  # 150 million pixels, 24 bits each, not compressed
# One image at the limit takes 1.6 GB while it is decoded: of such, one at a time.
_LARGE_PIXELS = 25_000_000
_large_one = threading.Lock()

# The raster formats that Pillow decodes by itself; EPS, for one, starts a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
Font = ImageFont.FreeTypeFont
_LANCZOS = Image.Resampling.LANCZOS
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# Complete files end like this. One that does not is worth a trial decoding.
_ENDINGS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "GIF": b"\x3b"}

Image.init()  # loads every decoder; by itself Pillow does so only on failure


class UnreadableImageError(ValueError):
    """A file is not an image, is damaged, or is of a kind not supported."""


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts floats in [-1, 1], of any shape, to the nearest of 256 levels.

    Values outside saturate and NaN becomes mid grey.

    Raises:
        TypeError: `images` are integers, which have no range of their own.

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


def read_image(source: str | os.PathLike | bytes, num_channels: int = 3) -> np.ndarray:
    """Reads an image file, or the bytes of one, as uint8 `[H, W, num_channels]`.

    Rotates as EXIF says, takes the first frame of an animation, scales 16-bit grey
    to 8 bits and lays transparent images over white unless alpha is wanted.

    Raises:
        UnreadableImageError: the data is not an image that can be decoded.
        FileNotFoundError: there is no such file.
        ValueError: `num_channels` is not 1, 2, 3 or 4.
    """
    if num_channels not in _MODES:
        raise ValueError(f"num_channels {num_channels} is not 1, 2, 3 or 4")
    with (
        io.BytesIO(source)
        if isinstance(source, bytes)
        else open(source, "rb") as stream
    ):
        image = _open(stream)
        large = image.width * image.height > _LARGE_PIXELS
        try:
            with _large_one if large else contextlib.nullcontext():
                image.load()
                _check_exif(image)
                image = ImageOps.exif_transpose(image)
                return _pixels(_plain_mode(image), num_channels)
        except UnreadableImageError:
            raise
        except Exception as error:  # damaged files raise almost anything
            raise UnreadableImageError(f"damaged: {error}") from error


def inspect(stream: IO[bytes], *, check_end: bool = True) -> tuple[int, int]:
    """Returns (height, width) from an image's header, before any rotation.

    Args:
        stream: binary file at its start.
        check_end: also look at the file's last bytes, and decode the image if they
            are not the format's end mark. This finds truncated files cheaply.

    Raises:
        UnreadableImageError: not an image, absurdly large, or truncated.
    """
    image = _open(stream)
    ending = _ENDINGS.get(image.format or "")
    if check_end and ending:
        stream.seek(-min(len(ending), stream.seek(0, os.SEEK_END)), os.SEEK_END)
        if stream.read() != ending:
            stream.seek(0)
            read_image(stream.read(), 3)
    return image.height, image.width


def _open(stream: IO[bytes]) -> Image.Image:
    try:
        tiff.check_directory(stream)
        stream.seek(0)
        image = Image.open(stream, formats=_FORMATS)
    except Image.UnidentifiedImageError as error:
        empty = stream.seek(0, os.SEEK_END) == 0
        reason = "empty file" if empty else "not an image"
        raise UnreadableImageError(reason) from error
    except Exception as error:  # damaged headers raise almost anything
        raise UnreadableImageError(f"damaged header: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width}x{image.height}"
        raise UnreadableImageError(f"{size} is over {MAX_PIXELS // 10**6} megapixels")
    if not image.width * image.height:
        raise UnreadableImageError("no pixels")
    return image


def _check_exif(image: Image.Image) -> None:
    """Raises before Pillow copies what the EXIF data claims to hold."""
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        tiff.check_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0")))


def _plain_mode(image: Image.Image) -> Image.Image:
    """Converts any mode to L, LA, RGB or RGBA."""
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        if levels.dtype.kind == "f" or levels.min() < 0 or levels.max() > 65535:
            raise UnreadableImageError(f"pixels of mode {image.mode} are not supported")
        # 65535 / 257 = 255. Pillow's own conversion would clip everything above 255.
        return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype("u1"))
    if "transparency" in image.info or image.mode in ("PA", "RGBa", "La"):
        grey = image.mode in ("1", "L", "La")
        return image.convert("LA" if grey else "RGBA")
    if image.mode in _MODES.values():
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _pixels(image: Image.Image, num_channels: int) -> np.ndarray:
    if image.mode in ("LA", "RGBA") and num_channels in (1, 3):
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white.convert("RGB")  # drops the alpha, now 255 everywhere
    pixels = np.asarray(image.convert(_MODES[num_channels]))
    return pixels.reshape(*pixels.shape[:2], num_channels)


def square_box(image: np.ndarray, resolution: int, *, pad: bool = False) -> np.ndarray:
    """Crops the central square and resizes it to `[resolution, resolution, C]`.

    Shrinking is the exact mean over each output pixel's area, for any factor (the
    2x2 mean of the official tool, when halving). Enlarging is Lanczos.

    Args:
        image: uint8 `[H, W, C]`.
        resolution: in pixels.
        pad: first surround the square with zeros up to the next power of two,
            as `create_mnist` in NVlabs/stylegan does from 28 to 32.
    """
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = image[top : top + side, left : left + side]
    if pad and side & (side - 1):
        before = (2 ** side.bit_length() - side) // 2
        after = 2 ** side.bit_length() - side - before
        image = np.pad(image, ((before, after), (before, after), (0, 0)))
        side = image.shape[0]
    if side > resolution:
        return _area_mean(image, resolution)
    if side < resolution:
        planes = [Image.fromarray(plane) for plane in np.moveaxis(image, 2, 0)]
        planes = [p.resize((resolution, resolution), _LANCZOS) for p in planes]
        return np.stack([np.asarray(plane) for plane in planes], axis=2)
    return image


def _area_mean(image: np.ndarray, resolution: int) -> np.ndarray:
    side = image.shape[0]
    factor, rest = divmod(side, resolution)
    if not rest:  # adding slices is several times faster than a reduction
        rows = image[::factor].astype(np.uint32)
        for i in range(1, factor):
            rows += image[i::factor]
        sums = rows[:, ::factor].copy()
        for i in range(1, factor):
            sums += rows[:, i::factor]
        return np.rint(sums.astype(np.float32) / np.float32(factor**2)).astype(np.uint8)
    # The integral of the image up to each edge, linear within a pixel.
    edges = np.arange(resolution + 1) * side
    whole, part = np.divmod(edges, resolution)
    last = np.minimum(whole, side - 1)
    total: np.ndarray = image.astype(np.float64)
    for axis in (0, 1):
        integral = np.cumsum(total, axis)
        integral = np.insert(integral, 0, 0, axis)
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        inside = total.take(last, axis) * (part / resolution).reshape(shape)
        total = np.diff(integral.take(whole, axis) + inside, axis=axis)
    return np.rint(total * (resolution / side) ** 2).astype(np.uint8)


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 `[H, W, 1-4]` to `shape`, (height, width), with Lanczos' filter."""
    height, width = shape
    pixels = _from_array(image).resize((width, height), _LANCZOS)
    return np.asarray(pixels).reshape(height, width, -1)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs uint8 `[H, W, 3]` with nearly a Gaussian of `sigma` pixels."""
    return np.asarray(_from_array(image).filter(ImageFilter.GaussianBlur(sigma)))


def sample_quad(image: np.ndarray, quad: np.ndarray, size: int) -> np.ndarray:
    """Draws a quadrilateral of an image as a square.

    It is sampled bilinearly at four times `size` and reduced with Lanczos' filter.

    Args:
        image: uint8 `[H, W, 3]`.
        quad: `[4, 2]`, (x, y) of top left, bottom left, bottom right and top right;
            whole numbers are centres of pixels. What lies outside the image is black.
        size: side of the result.
    """
    corners = tuple((np.asarray(quad) + 0.5).ravel().tolist())
    bilinear = Image.Resampling.BILINEAR
    sampled = _from_array(image).transform(
        (4 * size, 4 * size), Image.Transform.QUAD, corners, bilinear
    )
    return np.asarray(sampled.resize((size, size), _LANCZOS))


def warp_affine(
    image: np.ndarray, matrix: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Samples an image bicubically along an affine map.

    Args:
        image: uint8 `[H, W, 3]`.
        matrix: `[2, 3]`, takes (x, y, 1) of the result to (x, y) of `image`; whole
            numbers are edges of pixels. What lies outside the image is black.
        shape: (height, width) of the result.
    """
    size = shape[1], shape[0]
    values, bicubic = tuple(matrix.ravel().tolist()), Image.Resampling.BICUBIC
    warped = _from_array(image).transform(size, Image.Transform.AFFINE, values, bicubic)
    return np.asarray(warped)


def convert_channels(image: np.ndarray, num_channels: int) -> np.ndarray:
    """Converts uint8 `[H, W, C]` to `num_channels`, with the rules of `read_image`."""
    if image.ndim != 3 or image.shape[2] not in _MODES or image.dtype != np.uint8:
        raise ValueError(
            f"{image.dtype} {image.shape} is not a uint8 [H, W, 1-4] image"
        )
    if image.shape[2] == num_channels:
        return image
    return _pixels(_from_array(image), num_channels)


def encode_png(image: np.ndarray) -> bytes:
    """Returns the bytes of a PNG file of a uint8 `[H, W]` or `[H, W, 1-4]` image."""
    stream = io.BytesIO()
    _from_array(image).save(stream, "png")
    return stream.getvalue()


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a uint8 `[H, W]` or `[H, W, 1-4]` image; readers never see half a file."""
    atomic_write(Path(path), encode_png(image))


def _from_array(image: np.ndarray) -> Image.Image:
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.dtype != np.uint8 or (image.ndim != 2 and image.shape[-1] not in _MODES):
        raise ValueError(
            f"{image.dtype} {image.shape} is not a uint8 [H, W, 1-4] image"
        )
    return Image.fromarray(np.ascontiguousarray(image))


def grid(
    images: np.ndarray | Sequence[np.ndarray],
    columns: int | None = None,
    *,
    padding: int = 0,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> np.ndarray:
    """Lays images out in rows, left to right, on white.

    Args:
        images: uint8 `[N, H, W, C]`.
        columns: images per row; by default as many as there are column labels, else
            the number that makes the grid most nearly square.
        padding: gap between neighbours, in pixels.
        row_labels: captions at the left, one per row.
        column_labels: captions above, one per column.

    Returns:
        uint8 `[rows * H + gaps, columns * W + gaps, C]`, larger by the captions.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images) or images.dtype != np.uint8:
        shape = f"{images.dtype} {images.shape}"
        raise ValueError(f"a grid takes uint8 images [N, H, W, C], N > 0, got {shape}")
    count, height, width, channels = images.shape
    columns = columns or len(column_labels or ()) or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    for name, labels, size in [
        ("row", row_labels, rows),
        ("column", column_labels, columns),
    ]:
        if labels is not None and len(labels) != size:
            raise ValueError(f"{len(labels)} {name} labels for {size} {name}s")
    y_step, x_step = height + padding, width + padding
    font = _font(height, x_step, column_labels or ())
    line = sum(font.getmetrics()) + 4
    left = max((int(font.getlength(text)) + 8 for text in row_labels or ()), default=0)
    top = line if column_labels else 0
    shape = (top + rows * y_step - padding, left + columns * x_step - padding, channels)
    canvas = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        y, x = top + i // columns * y_step, left + i % columns * x_step
        canvas[y : y + height, x : x + width] = image
    places = [
        (left - 4, top + row * y_step + height // 2, "rm", text)
        for row, text in enumerate(row_labels or ())
    ] + [
        (left + column * x_step + width // 2, line // 2, "mm", text)
        for column, text in enumerate(column_labels or ())
    ]
    return write_text(canvas, places, font) if places else canvas


def _font(cell_height: int, cell_width: int, texts: Sequence[str]) -> Font:
    """Returns the largest sensible font in which each text fits a cell's width."""
    size = min(max(cell_height // 6, 11), 28)
    while size > 8 and any(
        load_font(size).getlength(text) > cell_width for text in texts
    ):
        size -= 1
    return load_font(size)


@functools.cache
def load_font(size: int) -> Font:
    """DejaVu Sans, which has Greek and mathematical signs; matplotlib brings it."""
    import matplotlib  # here, because it takes a quarter of a second

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def write_text(
    canvas: np.ndarray,
    places: Sequence[tuple[int, int, str, str]],
    font: Font,
) -> np.ndarray:
    """Returns the image with texts on it, in black.

    Args:
        canvas: uint8 `[H, W, 1-4]`.
        places: x, y, which point of the text that is (Pillow's anchors, such as "mm"
            for its middle), and the text.
        font: from `load_font`.
    """
    image = _from_array(canvas)
    draw = ImageDraw.Draw(image)
    ink = {"L": 0, "LA": (0, 255), "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 255)}[image.mode]
    for x, y, anchor, text in places:
        draw.text((x, y), text, fill=ink, font=font, anchor=anchor)
    return np.asarray(image).reshape(canvas.shape)
