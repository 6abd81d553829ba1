"""Tables by resolution and their text form."""

import numpy as np
import pytest

from stylegan_jax.by_resolution import ByResolution, parse_by_resolution
from stylegan_jax.training.config import RunConfig
from stylegan_jax.training.schedule import ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig


def test_listed_resolutions_have_their_value_and_others_the_default():
    table = ByResolution(32, ((4, 512), (8, 256)))
    assert [table.at(r) for r in (4, 8, 16, 1024)] == [512, 256, 32, 32]
    other = ByResolution(32, ((8, 256), (4, 512)))
    assert table == other and hash(table) == hash(other)
    assert parse_by_resolution("8:256, 32, 4:512") == table


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


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        ByResolution("32")
    with pytest.raises(ValueError, match="not int"):
        parse_by_resolution("32,8:1.5", int)


@pytest.mark.parametrize(
    ("make", "value", "expected"),
    [
        (lambda v: ScheduleConfig(batch_size=v).batch_size, 8, ByResolution(8)),
        (lambda v: ScheduleConfig(batch_size=v).batch_size, np.int64(8), "8"),
        (lambda v: ScheduleConfig(batch_size=v).batch_size, "8,4:16", "8,4:16"),
        (lambda v: ScheduleConfig(accumulate=v).accumulate, 2, ByResolution(2)),
        (lambda v: OptimizerConfig(learning_rate=v).learning_rate, 1, "1.0"),
        (lambda v: OptimizerConfig(learning_rate=v).learning_rate, 1e-3, "0.001"),
        (lambda v: RunConfig(tick_kimg=v).tick_kimg, 2, ByResolution(2.0)),
        (lambda v: RunConfig(tick_kimg=v).tick_kimg, ByResolution(3.0), "3.0"),
    ],
)
def test_a_plain_value_is_a_table_without_exceptions(make, value, expected):
    found = make(value)
    assert isinstance(found, ByResolution) and str(found) == str(expected)


@pytest.mark.parametrize("value", [8.5, "many", None, [8], (8, 4), {4: 8}, True])
def test_what_is_no_table_is_refused_in_its_place(value):
    with pytest.raises(ValueError, match=r"not int|bare numbers|resolution:value"):
        ScheduleConfig(batch_size=value)
