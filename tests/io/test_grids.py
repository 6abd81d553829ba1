"""Grids and pages: where pictures, labels and gaps are."""

import itertools

import numpy as np
import pytest

from stylegan_jax.io import grids, images
from stylegan_jax.io.grids import enlarge, make_sheet


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_grid_places_each_image_in_its_cell():
    tiles = noise(5, 4, 6, 3)
    sheet = grids.grid(tiles, 3)
    assert sheet.shape == (2 * 4, 3 * 6, 3)
    np.testing.assert_array_equal(sheet[:4, 6:12], tiles[1])
    np.testing.assert_array_equal(sheet[4:, 6:12], tiles[4])
    assert (sheet[4:, 12:] == 255).all()  # there is no sixth image


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_labels_add_margins_with_ink_and_leave_the_images_alone(channels):
    tiles = noise(3, 64, 64, channels)
    seen = np.stack([images.convert_channels(tile, 3) for tile in tiles])
    labels = {"row_labels": ["psi", "0.7"], "column_labels": ["a", "b"]}
    sheet = grids.labelled(tiles, 2, at_least=64, **labels)[:-4, :-4]
    top, left = np.subtract(sheet.shape[:2], 2 * 64 + 2)  # gaps are of two pixels
    assert min(top, left) > 8
    np.testing.assert_array_equal(sheet[top : top + 64, -64:], seen[1])
    np.testing.assert_array_equal(sheet[-64:, left : left + 64], seen[2])
    assert (sheet[-64:, -66:] == 255).all()
    assert sheet[:top, left : left + 64, 0].min() < 100
    assert sheet[top : top + 64, :left, 0].min() < 100
    assert (sheet[:top, :left] == 255).all()


def inside(page, sheet, place):
    (top, left), (height, width) = sheet.cells[place], sheet.size
    return page[top : top + height, left : left + width]


LABELS = {
    "row_labels": ["one", "two", "three"],
    "column_labels": ["a", "b"],
    "row_groups": [("first", 1), ("others", 2)],
    "column_groups": [("both", 2)],
    "captions": ["", "", "under", "", "", "end"],
}


@pytest.mark.parametrize("labels", [{}, LABELS], ids=["bare", "labelled"])
def test_pictures_are_in_their_cells_row_by_row(labels):
    sheet = make_sheet(3, 2, 4, at_least=30, **labels)
    pictures = noise(6, 4, 4, 3)
    grey = pictures[4][..., :1]
    page = sheet.fill([*pictures[:4], grey, None])
    assert sheet.size[0] >= 30 and sheet.size[0] % 4 == 0
    for place in range(4):
        np.testing.assert_array_equal(
            inside(page, sheet, place), enlarge(pictures[place], sheet.size)
        )
    assert (inside(page, sheet, 4) == enlarge(grey, sheet.size)).all()
    assert (inside(page, sheet, 5) == 255).all()
    (top, left), (_, right), (below, _) = (sheet.cells[i] for i in (0, 1, 2))
    assert right >= left + sheet.size[1] + 2 and below >= top + sheet.size[0] + 2


def test_labels_are_outside_the_cells_and_do_not_touch():
    wide = ["a very long label", "another long label", "a third long label"]
    sheet = make_sheet(1, 3, 8, column_labels=wide, at_least=16)
    for place in range(3):
        assert (inside(sheet.page, sheet, place) == 255).all()
    above = sheet.page[: sheet.cells[0][0]]
    for (_, left), (_, following) in itertools.pairwise(sheet.cells):
        # White on both sides of the gap between two columns: nothing runs over.
        between = above[:, left + sheet.size[1] : following]
        assert (between == 255).all()
        assert (above[:, left : left + sheet.size[1]] < 100).any()


def test_groups_are_farther_apart_than_their_members():
    sheet = make_sheet(1, 4, 8, column_groups=[("x", 2), ("", 2)], at_least=16)
    lefts = [left for _, left in sheet.cells]
    first, between, second = np.diff(lefts)
    assert first == second < between
    ruled = (sheet.page[: sheet.cells[0][0]] == 110).all(-1).any(0)
    assert ruled[lefts[0] : lefts[1] + sheet.size[1]].all()  # under the label only
    assert not ruled[lefts[1] + sheet.size[1] :].any()


def test_only_rows_with_captions_are_spaced_for_them():
    sheet = make_sheet(3, 1, 8, captions=["", "here", ""], at_least=16)
    tops = [top for top, _ in sheet.cells]
    assert tops[2] - tops[1] > tops[1] - tops[0] + 8
    assert (sheet.page[tops[1] + sheet.size[0] : tops[2]] < 100).any()
    assert (sheet.page[tops[0] : tops[1]] == 255).all()


def test_pages_with_room_for_the_same_labels_are_of_one_size():
    titles = ["short", "a label far too long for it"]
    pages = [
        make_sheet(1, 1, 8, column_groups=[(title, 1)], room_for=titles, at_least=8)
        for title in titles
    ]
    assert pages[0].page.shape == pages[1].page.shape
    assert pages[0].cells == pages[1].cells


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="1 row labels, not 2"):
        make_sheet(2, 2, 8, row_labels=["a"])
    with pytest.raises(ValueError, match="3 columns in groups, not 2"):
        make_sheet(2, 2, 8, column_groups=[("a", 3)])
    with pytest.raises(ValueError, match="2 row labels, not 1"):
        grids.labelled(noise(2, 4, 4, 3), 2, row_labels=["a", "b"], at_least=8)
    with pytest.raises(ValueError, match="float32"):
        grids.grid(np.zeros((2, 4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="N > 0"):
        grids.grid(np.zeros((0, 4, 4, 3), np.uint8))
    sheet = make_sheet(1, 2, 8)
    with pytest.raises(ValueError, match="1 pictures for 2 cells"):
        sheet.fill([None])
    with pytest.raises(ValueError, match="not a multiple"):
        sheet.fill([None, np.zeros((7, 7, 3), np.uint8)])


def test_the_font_has_the_signs_of_mathematics():
    font = grids.load_font(16)
    missing = font.getmask("\uffff")
    for sign in "ψα−×–":
        drawn = font.getmask(sign)
        assert drawn.size != missing.size or bytes(drawn) != bytes(missing), sign
