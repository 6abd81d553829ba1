"""Grids of images: tight ones for files, labelled sheets for figures and films."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageDraw, ImageFont

from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import from_array, to_channels

Font = ImageFont.FreeTypeFont
Groups = Sequence[tuple[str, int]]  # label and number of rows or columns
_Place = tuple[int, int, str]  # x, y, and the text's point there (Pillow)

_SMALLEST, _LARGEST = 12, 26  # pixels of letters on a page
_RULE = 110  # grey of the lines beside groups


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays uint8 images `[N, H, W, C]` out in rows on white, by default in a square."""
    images = np.asarray(images)
    if images.ndim != 4 or not len(images) or images.dtype != np.uint8:
        shape = f"{images.dtype} {images.shape}"
        raise UserError(f"a grid takes uint8 images [N, H, W, C], N > 0, got {shape}")
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, channels), 255, np.uint8)
    cells[:count] = images
    cells = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return cells.reshape(rows * height, columns * width, channels)


def labelled(
    pictures: Sequence[np.ndarray],
    columns: int,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    at_least: int,
) -> np.ndarray:
    """A grid with labels, of square pictures enlarged to `at_least` pixels.

    They are uint8 `[h, w, 1-4]` of one shape; the page is uint8 `[H, W, 3]`.
    """
    rows, side = -(-len(pictures) // columns), pictures[0].shape[0]
    labels: Any = {"row_labels": row_labels, "column_labels": column_labels}
    sheet = make_sheet(rows, columns, side, at_least=at_least, **labels)
    return sheet.fill([*pictures, *[None] * (rows * columns - len(pictures))])


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A page with labels and empty cells, filled once or for every frame of a film."""

    page: np.ndarray  # uint8 [H, W, 3]
    cells: tuple[tuple[int, int], ...]  # (top, left) of each, row by row
    size: tuple[int, int]  # (height, width) of a cell

    def fill(self, pictures: Sequence[np.ndarray | None]) -> np.ndarray:
        """Fills the cells, row by row, None with white; a new uint8 `[H, W, 3]`.

        Pictures are uint8 `[h, w, 1-4]`, enlarged to the cell as by `enlarge`.
        """
        if len(pictures) != len(self.cells):
            raise UserError(f"{len(pictures)} pictures for {len(self.cells)} cells")
        filled, (height, width) = self.page.copy(), self.size
        for (top, left), picture in zip(self.cells, pictures, strict=True):
            if picture is not None:
                enlarged = enlarge(to_channels(picture, 3), self.size)
                filled[top : top + height, left : left + width] = enlarged
        return filled


def stacked(pages: Sequence[np.ndarray]) -> np.ndarray:
    """Pages `[H, W, 3]` below each other, white where one is narrower."""
    width = max(page.shape[1] for page in pages)
    spare = [((0, 0), (0, width - page.shape[1]), (0, 0)) for page in pages]
    return np.concatenate(
        [np.pad(p, s, constant_values=255) for p, s in zip(pages, spare, strict=True)]
    )


def enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeats the pixels of `[h, w, C]` up to `size`, (height, width), a multiple."""
    (down, rest), (across, rest_2) = map(divmod, size, picture.shape[:2])
    if rest or rest_2:
        raise UserError(f"{size} is not a multiple of {picture.shape[:2]}")
    return picture.repeat(down, axis=0).repeat(across, axis=1)


def make_sheet(
    rows: int,
    columns: int,
    side: int,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    row_groups: Groups = (),
    column_groups: Groups = (),
    captions: Sequence[str] = (),
    room_for: Sequence[str] = (),
    at_least: int = 96,
) -> Sheet:
    """Lays out a page with labels of rows, columns and groups of them.

    Args:
        side: of the pictures, in pixels; a cell is the smallest multiple of it with
            `at_least` pixels and room for legible labels.
        row_groups: label and size of each, left of the row labels; they cover all
            rows. A line marks a group, gaps divide them; "" is a gap alone.
        column_groups: likewise, above the column labels.
        captions: below each cell, row by row; rows of "" take no space.
        room_for: labels across all columns to leave room for, so that all pages of a
            film have one size.
    """
    _check("row labels", row_labels, rows)
    _check("column labels", column_labels, columns)
    _check("rows in groups", range(sum(n for _, n in row_groups)), rows)
    _check("columns in groups", range(sum(n for _, n in column_groups)), columns)
    _check("captions", captions, rows * columns)
    groups = [*row_groups, *column_groups, *((text, columns) for text in room_for)]

    def fits(letters: int, cell: int) -> bool:
        room = [(text, cell - letters / 2) for text in (*column_labels, *captions)]
        room += [(text, cell * count) for text, count in groups]
        font = load_font(letters)
        return all(font.getlength(text) <= width for text, width in room)

    factor = -(-at_least // side)
    while not fits(_SMALLEST, factor * side):
        factor += 1
    cell = factor * side
    letters = min(max(cell // 7, _SMALLEST), _LARGEST)
    while not fits(letters, cell):
        letters -= 1
    font = load_font(letters)
    line = sum(font.getmetrics()) + 4
    gap, margin = max(2, cell // 48), max(4, letters // 3)
    rows_of_captions = [captions[i * columns :][:columns] for i in range(rows)]
    heights = [cell + (line if any(texts) else 0) for texts in rows_of_captions]
    widest = max((int(font.getlength(text)) for text in row_labels), default=0)
    left = margin + (line + margin if any(text for text, _ in row_groups) else 0)
    left += widest + 2 * margin if row_labels else 0
    top = margin + (line + margin if column_groups else 0)
    top += line if column_labels else 0
    ys = _starts(top, heights, gap, row_groups)
    xs = _starts(left, [cell] * columns, gap, column_groups)
    cells = tuple(itertools.product(ys, xs))
    page = np.full(
        (ys[-1] + heights[-1] + margin, xs[-1] + cell + margin, 3), 255, np.uint8
    )
    half = cell // 2
    places = [
        *((left - 2 * margin, y + half, "rm") for y in ys if row_labels),
        *((x + half, top - line // 2 - 1, "mm") for x in xs if column_labels),
        *((x + half, y + cell + line // 2, "mm") for y, x in cells if captions),
    ]
    page = _write(page, places, [*row_labels, *column_labels, *captions], font)
    # In the transposed page groups of rows are above, mirrored.
    mirrored = page.swapaxes(0, 1)
    for view, starts, of in ((page, xs, column_groups), (mirrored, ys, row_groups)):
        ends = itertools.accumulate(count for _, count in of)
        for (label, count), end in zip(of, ends, strict=True):
            if not label:
                continue
            first, last = starts[end - count], starts[end - 1] + cell
            strip = np.full((line, last - first, 3), 255, np.uint8)
            middle = [((last - first) // 2, line // 2, "mm")]
            strip = _write(strip, middle, [label], font)
            upright = strip if view is page else strip[:, ::-1]
            view[margin : margin + line, first:last] = upright
            view[margin + line + 1, first:last] = _RULE
    return Sheet(page, cells, (cell, cell))


def _check(name: str, labels: Sequence, count: int) -> None:
    if labels and len(labels) != count:
        raise UserError(f"{len(labels)} {name}, not {count}")


def _starts(first: int, sizes: Sequence[int], gap: int, groups: Groups) -> list[int]:
    """Start of each row or column; groups are four gaps farther apart."""
    divided = set(itertools.accumulate(count for _, count in groups))
    starts = [first]
    for place, size in enumerate(sizes[:-1], start=1):
        starts.append(starts[-1] + size + gap * (5 if place in divided else 1))
    return starts


@functools.cache
def load_font(size: int) -> Font:
    """DejaVu Sans of matplotlib, which has Greek and mathematical signs."""
    import matplotlib  # here, because it takes a quarter of a second

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def _write(
    canvas: np.ndarray, places: Sequence[_Place], texts: Sequence[str], font: Font
) -> np.ndarray:
    image = from_array(canvas)
    draw = ImageDraw.Draw(image)
    for (x, y, anchor), text in zip(places, texts, strict=True):
        draw.text((x, y), text, fill=(0, 0, 0), font=font, anchor=anchor)
    return np.array(image)
