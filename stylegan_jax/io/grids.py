"""Sheets of images with captions, and text on images."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ImageDraw, ImageFont

from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import from_array

Font = ImageFont.FreeTypeFont


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
        raise UserError(f"a grid takes uint8 images [N, H, W, C], N > 0, got {shape}")
    count, height, width, channels = images.shape
    columns = columns or len(column_labels or ()) or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    for name, labels, size in [
        ("row", row_labels, rows),
        ("column", column_labels, columns),
    ]:
        if labels is not None and len(labels) != size:
            raise UserError(f"{len(labels)} {name} labels for {size} {name}s")
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
    image = from_array(canvas)
    draw = ImageDraw.Draw(image)
    ink = {"L": 0, "LA": (0, 255), "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 255)}[image.mode]
    for x, y, anchor, text in places:
        draw.text((x, y), text, fill=ink, font=font, anchor=anchor)
    return np.asarray(image).reshape(canvas.shape)
