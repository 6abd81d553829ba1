"""What a schedule still takes, in images and in time."""

import dataclasses

import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.schedule import (
    ScheduleConfig,
    TimeLeft,
    phases,
    shortfall,
    work,
)


@pytest.mark.parametrize(
    ("total", "short"),
    [(0.04, "8 px"), (0.09, "16 px, fading in"), (0.1, None), (0.5, None)],
)
def test_a_run_that_ends_before_it_has_grown_says_what_it_takes(total, short):
    config = ScheduleConfig(
        stable_kimg=0.05,
        fade_kimg=0.05,
        total_kimg=total,
        repeats=1,
        batch_size=ByResolution(2),
    )
    text = shortfall(config, 16)
    assert (text is None) == (short is None)
    if short:
        assert f"with {short}, below model.resolution 16" in text
        assert "`schedule.total_kimg` 0.1 " in text
        enough = dataclasses.replace(config, total_kimg=0.1)
        assert shortfall(enough, 16) is None


def test_time_left_counts_the_work_of_the_resolutions_to_come():
    model = ModelConfig(resolution=32, channel_max=8, channel_base=64, mapping_layers=0)
    # 9 size^2 c (c + c of half the size), channels 8, 8, 4, 2.
    by_hand = 9 * (16 * 8 * 16 + 64 * 8 * 16 + 256 * 4 * 12 + 1024 * 2 * 6)
    assert work(model, 32) == by_hand
    config = ScheduleConfig(
        stable_kimg=1, fade_kimg=1, total_kimg=6, repeats=1, batch_size=ByResolution(1)
    )
    schedule = phases(config, 32)
    left = TimeLeft(schedule, model)
    assert left.seconds(0, 8, None) is None
    at_8, at_16, at_32 = (
        sum(x.end_nimg - x.start_nimg for x in schedule if x.resolution == size)
        for size in (8, 16, 32)
    )
    costs = {size: work(model, size) / work(model, 8) for size in (16, 32)}
    expected = (at_8 - 500 + at_16 * costs[16] + at_32 * costs[32]) / 100
    assert left.seconds(500, 8, 100.0) == pytest.approx(expected)
    # Once 16 px is measured, 32 px is reckoned from it.
    expected = at_16 / 10 + at_32 * (work(model, 32) / work(model, 16)) / 10
    assert left.seconds(at_8, 16, 10.0) == pytest.approx(expected)
