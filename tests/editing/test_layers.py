import pytest

from stylegan_jax.editing import layer_names
from stylegan_jax.errors import UserError


def test_rows_of_18_are_themselves_at_1024_px():
    for rows in (
        layer_names.CONTENT_ROWS,
        layer_names.INPAINTING_ROWS,
        layer_names.SCRIBBLE_ROWS,
    ):
        assert layer_names.rows_of_18(rows, 18) == rows


@pytest.mark.parametrize(
    ("num_layers", "content", "inpainting", "scribble"),
    [
        # By hand: the middle of row i of 8 lies at 2.25 i + 1.125 of 18.
        (8, (0, 1, 2, 3), (0, 1, 2, 3, 7), (0, 1, 2)),
        (12, (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5, 11), (0, 1, 2, 3)),
        (6, (0, 1, 2), (0, 1, 2, 5), (0, 1)),
    ],
)
def test_smaller_networks_take_the_rows_of_the_same_depth(
    num_layers, content, inpainting, scribble
):
    if num_layers == 6:  # its last row's middle, 16.5, is the paper's row 17
        assert 16 in layer_names.INPAINTING_ROWS
    assert layer_names.rows_of_18(layer_names.CONTENT_ROWS, num_layers) == content
    assert layer_names.rows_of_18(layer_names.INPAINTING_ROWS, num_layers) == inpainting
    assert layer_names.rows_of_18(layer_names.SCRIBBLE_ROWS, num_layers) == scribble


def test_coarse_middle_and_fine_are_those_of_figure_3():
    assert layer_names.named_rows("coarse", 18) == (0, 1, 2, 3)  # 4 and 8 px
    assert layer_names.named_rows("middle", 18) == (4, 5, 6, 7)  # 16 and 32 px
    assert layer_names.named_rows("fine", 18) == tuple(range(8, 18))  # 64 px on
    assert layer_names.named_rows("all", 18) == tuple(range(18))


@pytest.mark.parametrize("num_layers", [4, 6, 8, 10, 12, 16])
def test_the_three_groups_are_all_rows_in_order(num_layers):
    groups = [
        layer_names.named_rows(name, num_layers) for name in layer_names.NAMES[:3]
    ]
    assert sum(groups, ()) == layer_names.named_rows("all", num_layers)
    assert groups[0] and groups[2]
    assert layer_names.named_rows("middle", 8) == (4, 5)  # 16 of 32 px


def test_rows_are_read_as_names_numbers_and_ranges():
    assert layer_names.parse_rows("coarse, 7,5-6", 8) == (0, 1, 2, 3, 5, 6, 7)
    for text in ("8", "3-9", "5-2", "nose", "", "-1"):
        with pytest.raises(UserError, match="rows 0 to 7"):
            layer_names.parse_rows(text, 8)
