"""Tables by resolution and their text form."""

import pytest

from stylegan_jax.common.by_resolution import ByResolution, parse_by_resolution


def test_listed_resolutions_have_their_value_and_others_the_default():
    table = ByResolution(32, ((4, 512), (8, 256)))
    assert [table.at(r) for r in (4, 8, 16, 1024)] == [512, 256, 32, 32]


def test_tables_with_the_same_entries_are_equal_and_hash_alike():
    one = ByResolution(32, ((8, 256), (4, 512)))
    other = ByResolution(32, ((4, 512), (8, 256)))
    assert one == other and hash(one) == hash(other)


@pytest.mark.parametrize(
    "table",
    [
        ByResolution(32),
        ByResolution(32, ((4, 512), (8, 256))),
        ByResolution(0.001, ((128, 0.0015), (1024, 0.003))),
        ByResolution(1e-07, ((8, 2.0),)),
    ],
)
def test_text_form_reads_back_to_an_equal_table_of_the_same_number_type(table):
    back = parse_by_resolution(str(table))
    assert back == table
    assert [type(v) for v in back.values()] == [type(v) for v in table.values()]


def test_the_default_may_stand_anywhere_in_the_text():
    expected = ByResolution(32, ((4, 512), (8, 256)))
    assert parse_by_resolution("8:256, 32, 4:512") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4:512", "0 bare numbers"),
        ("32,64", "2 bare numbers"),
        ("", "0 bare numbers"),
        ("32,x:4", "resolution:value"),
        ("32,8:many", "not"),
        ("32,12:4", "power of two"),
        ("32,8:4,8:5", "more than once"),
    ],
)
def test_a_text_that_is_no_table_is_refused_with_the_reason(text, message):
    with pytest.raises(ValueError, match=message):
        parse_by_resolution(text)


def test_an_integer_table_refuses_fractions():
    with pytest.raises(ValueError, match="not int"):
        parse_by_resolution("32,8:1.5", int)


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        ByResolution("32")
