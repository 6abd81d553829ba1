import pytest

from stylegan_jax.editing.rows import (
    CONTENT_ROWS,
    INPAINTING_ROWS,
    NAMES,
    SCRIBBLE_ROWS,
    named_rows,
    parse_rows,
    rows_of_18,
)
from stylegan_jax.errors import UserError


@pytest.mark.parametrize(
    ("num_layers", "content", "inpainting", "scribble"),
    [
        (18, CONTENT_ROWS, INPAINTING_ROWS, SCRIBBLE_ROWS),
        # By hand: the middle of row i of 8 lies at 2.25 i + 1.125 of 18.
        (8, (0, 1, 2, 3), (0, 1, 2, 3, 7), (0, 1, 2)),
        (12, (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5, 11), (0, 1, 2, 3)),
        (6, (0, 1, 2), (0, 1, 2, 5), (0, 1)),  # the last row's middle is 16.5
    ],
)
def test_smaller_networks_take_the_rows_of_the_same_depth(
    num_layers, content, inpainting, scribble
):
    assert rows_of_18(CONTENT_ROWS, num_layers) == content
    assert rows_of_18(INPAINTING_ROWS, num_layers) == inpainting
    assert rows_of_18(SCRIBBLE_ROWS, num_layers) == scribble
    style = named_rows("style", num_layers)
    assert sorted(content + style) == list(range(num_layers))


def test_coarse_middle_and_fine_are_those_of_figure_3():
    assert named_rows("coarse", 18) == (0, 1, 2, 3)  # 4 and 8 px
    assert named_rows("middle", 18) == (4, 5, 6, 7)  # 16 and 32 px
    assert named_rows("fine", 18) == tuple(range(8, 18))  # 64 px on
    assert named_rows("middle", 8) == (4, 5)  # 16 of 32 px
    for num_layers in (4, 6, 8, 10, 12, 16, 18):
        groups = [named_rows(name, num_layers) for name in NAMES[:3]]
        assert sum(groups, ()) == tuple(range(num_layers))
        assert named_rows("all", num_layers) == tuple(range(num_layers))
        assert groups[0] and groups[2]


def test_rows_are_read_as_names_numbers_and_ranges():
    assert parse_rows("coarse, 7,5-6", 8) == (0, 1, 2, 3, 5, 6, 7)
    for text in ("8", "3-9", "5-2", "nose", "", "-1"):
        with pytest.raises(UserError, match="rows 0 to 7"):
            parse_rows(text, 8)
