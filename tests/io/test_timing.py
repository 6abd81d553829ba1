"""Durations, rates and cadences."""

import pytest

from stylegan_jax.io.timing import RateMeter, due, hms


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (7.4, "7s"),
        (59.6, "1m 00s"),
        (753, "12m 33s"),
        (3 * 3600 + 60, "3h 01m"),
        (86400 + 4 * 3600 + 12 * 60, "1d 04h 12m"),
        (float("nan"), "?"),
        (float("inf"), "?"),
        (-1, "?"),
    ],
)
def test_durations_are_written_with_their_leading_units(seconds, text):
    assert hms(seconds) == text


def test_something_is_due_once_per_multiple_whatever_the_step():
    for step in (1, 7, 48, 300):
        times, last = 0, 0
        for nimg in range(step, 10_001, step):
            if due(nimg, last, 0.25):
                times, last = times + 1, nimg
        expected = len({nimg // 250 for nimg in range(step, 10_001, step)} - {0})
        assert times == expected


def test_rate_leaves_out_time_before_a_restart():
    meter = RateMeter()
    assert meter.update(0, now=0.0) is None
    assert meter.update(100, now=10.0) == pytest.approx(10.0)
    meter.restart(100, now=60.0)  # fifty seconds of evaluation
    assert meter.update(200, now=70.0) == pytest.approx(10.0)


def test_rate_follows_the_recent_window_only():
    meter = RateMeter(window_seconds=20.0)
    meter.restart(0, now=0.0)
    for i in range(1, 11):
        meter.update(10 * i, now=10.0 * i)  # one image per second
    for i in range(1, 4):
        rate = meter.update(100 + 500 * i, now=100.0 + 10.0 * i)  # fifty
    assert rate == pytest.approx(50.0)
