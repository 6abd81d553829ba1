"""Figures: a matrix of pictures with rows, columns and groups of them labelled.

A `Sheet` is a page that is laid out once and filled as often as one likes: once for a
figure, once per frame for a film.

              group of columns
              ────────────────
              label      label
    g │ label [cell]    [cell]
    r │
    o │ label [cell]    [cell]
    u │       caption  caption
    p │
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import grids

Groups = Sequence[tuple[str, int]]  # label and number of rows or columns

_SMALLEST, _LARGEST = 12, 26  # pixels of letters
_RULE = 110  # grey of the lines beside groups


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A page with labels and empty cells.

    Attributes:
        page: uint8 `[H, W, 3]`.
        cells: top and left of each cell, row by row.
        size: height and width of a cell.
    """

    page: np.ndarray
    cells: tuple[tuple[int, int], ...]
    size: tuple[int, int]

    def fill(self, pictures: Sequence[np.ndarray | None]) -> np.ndarray:
        """Puts a picture into each cell; a new uint8 `[H, W, 3]`.

        Args:
            pictures: row by row, uint8 `[h, w, 1 or 3]`; None leaves a cell white. They
                are enlarged to the cell by repeating pixels.

        Raises:
            UserError: not one per cell, or a cell is no multiple of a picture.
        """
        if len(pictures) != len(self.cells):
            raise UserError(f"{len(pictures)} pictures for {len(self.cells)} cells")
        filled, (height, width) = self.page.copy(), self.size
        for (top, left), picture in zip(self.cells, pictures, strict=True):
            if picture is not None:
                enlarged = enlarge(picture, self.size)
                filled[top : top + height, left : left + width] = enlarged
        return filled


def enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeats the pixels of `[h, w, C]` up to `size`, (height, width).

    Raises:
        UserError: `size` is no multiple of the picture's.
    """
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
    """Lays a page out.

    Args:
        rows: of cells.
        columns: of cells.
        side: of the pictures, in pixels. Cells are the smallest multiple of it that is
            large enough for `at_least` and for labels of a legible size.
        row_labels: at the left, one per row.
        column_labels: above, one per column.
        row_groups: further left, upright, with a line along the group's rows; a gap
            divides groups. They have all rows among them; "" is a gap alone.
        column_groups: likewise, further up.
        captions: below each cell, row by row; "" for none. Rows without any are not
            spaced for them.
        room_for: labels of all columns together that the page must have room for, as
            other pages of a film have them: all are then of one size.
        at_least: pixels of a cell.

    Raises:
        UserError: labels that are not as many as what they are for.
    """
    for name, found, wanted in [
        ("row labels", len(row_labels), rows),
        ("column labels", len(column_labels), columns),
        ("rows in groups", sum(count for _, count in row_groups), rows),
        ("columns in groups", sum(count for _, count in column_groups), columns),
        ("captions", len(captions), rows * columns),
    ]:
        if found not in (0, wanted):
            raise UserError(f"{found} {name}, not {wanted}")
    every = [*row_groups, *column_groups, *((text, columns) for text in room_for)]
    cell, letters = _sizes(side, at_least, [*column_labels, *captions], every)
    font = grids.load_font(letters)
    line = sum(font.getmetrics()) + 4
    gap, margin = max(2, cell // 48), max(4, letters // 3)
    rows_of_captions = [captions[i * columns :][:columns] for i in range(rows)]
    heights = [cell + (line if any(texts) else 0) for texts in rows_of_captions]
    upright = any(text for text, _ in row_groups)
    widest = max((int(font.getlength(text)) for text in row_labels), default=0)
    left = margin + (line + margin if upright else 0)
    left += widest + 2 * margin if row_labels else 0
    top = margin + (line + margin if column_groups else 0)
    top += line if column_labels else 0
    ys = _starts(top, heights, gap, row_groups)
    xs = _starts(left, [cell] * columns, gap, column_groups)
    size = (ys[-1] + heights[-1] + margin, xs[-1] + cell + margin, 3)
    page = np.full(size, 255, np.uint8)

    places = [
        (left - 2 * margin, y + cell // 2, "rm", text)
        for y, text in zip(ys, row_labels, strict=False)
    ]
    places += [
        (x + cell // 2, top - line // 2 - 1, "mm", text)
        for x, text in zip(xs, column_labels, strict=False)
    ]
    cells = tuple(itertools.product(ys, xs))
    places += [
        (x + cell // 2, y + cell + line // 2, "mm", text)
        for (y, x), text in zip(cells, captions, strict=False)
    ]
    page = grids.write_text(page, places, font).copy()
    for label, first, last in _spans(column_groups, xs, cell):
        strip = page[margin : margin + line, first:last]
        strip[:] = _centred(label, strip.shape[1], line, font)
        page[margin + line + 1, first:last] = _RULE
    for label, first, last in _spans(row_groups, ys, cell):
        strip = page[first:last, margin : margin + line]
        strip[:] = np.rot90(_centred(label, strip.shape[0], line, font))
        page[first:last, margin + line + 1] = _RULE
    return Sheet(page, cells, (cell, cell))


def _sizes(
    side: int, at_least: int, one_wide: Sequence[str], groups: Groups
) -> tuple[int, int]:
    """Pixels of a cell and of letters."""
    factor = -(-at_least // side)
    while not _fits(_SMALLEST, factor * side, one_wide, groups):
        factor += 1
    cell = factor * side
    letters = min(max(cell // 7, _SMALLEST), _LARGEST)
    while not _fits(letters, cell, one_wide, groups):
        letters -= 1
    return cell, letters


def _fits(letters: int, cell: int, one_wide: Sequence[str], groups: Groups) -> bool:
    """Whether labels fit what they are for; groups of columns are wide enough."""
    length = grids.load_font(letters).getlength
    return all(length(text) + letters / 2 <= cell for text in one_wide) and all(
        length(text) <= cell * count for text, count in groups
    )


def _starts(
    first: int, sizes: Sequence[int], gap: int, groups: Groups
) -> tuple[int, ...]:
    """Where each row or column begins; groups are four gaps farther apart."""
    divided = set(itertools.accumulate(count for _, count in groups))
    starts = [first]
    for place, size in enumerate(sizes[:-1], start=1):
        starts.append(starts[-1] + size + gap * (5 if place in divided else 1))
    return tuple(starts)


def _spans(
    groups: Groups, starts: Sequence[int], size: int
) -> list[tuple[str, int, int]]:
    """Label, begin and end of each group that has a label, in pixels."""
    spans: list[tuple[str, int, int]] = []
    place = 0
    for label, count in groups:
        end = starts[place + count - 1] + size
        if label:
            spans.append((label, starts[place], end))
        place += count
    return spans


def _centred(text: str, width: int, height: int, font: grids.Font) -> np.ndarray:
    """A strip of white with a text in its middle, uint8 `[height, width, 3]`."""
    strip = np.full((height, width, 3), 255, np.uint8)
    return grids.write_text(strip, [(width // 2, height // 2, "mm", text)], font)
