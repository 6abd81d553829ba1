import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.training.schedule import ScheduleConfig, phases

SMALL = ByResolution(32)
ODD = {
    "boundaries hit exactly": dict(stable_kimg=1.024, fade_kimg=1.024, total_kimg=20),
    "no stable spans": dict(stable_kimg=0, fade_kimg=3, total_kimg=40),
    "no fades": dict(stable_kimg=3, fade_kimg=0, total_kimg=40),
    "no fades, exactly": dict(stable_kimg=1.024, fade_kimg=0, total_kimg=20),
    "one minibatch a call": dict(stable_kimg=1, fade_kimg=2, repeats=1, total_kimg=12),
    "fades shorter than a call": dict(stable_kimg=3, fade_kimg=0.1, total_kimg=40),
    "from 4 px": dict(stable_kimg=2, fade_kimg=1, total_kimg=30, initial_resolution=4),
    "cut in mid-fade": dict(stable_kimg=2, fade_kimg=2, total_kimg=7),
    "cut when stable": dict(stable_kimg=2, fade_kimg=2, total_kimg=5),
}


def official_rounds(config, final):
    """`training_schedule` and the main loop of NVlabs/stylegan, restated."""
    nimg, previous = 0, -1.0
    while nimg < config.total_kimg * 1000:
        kimg = nimg / 1000.0
        duration = config.stable_kimg + config.fade_kimg
        index = math.floor(kimg / duration) if duration > 0 else 0
        inside = kimg - index * duration
        lod = math.log2(final) - math.floor(math.log2(config.initial_resolution))
        lod -= index
        if config.fade_kimg > 0:
            lod -= max(inside - config.stable_kimg, 0.0) / config.fade_kimg
        lod = max(lod, 0.0)
        resolution = 2 ** int(math.log2(final) - math.floor(lod))
        minibatch = config.batch_size.at(resolution)
        floors = math.floor(lod) != math.floor(previous)
        reset = floors or math.ceil(lod) != math.ceil(previous)
        yield nimg, resolution, lod, minibatch, reset
        nimg += minibatch * config.repeats
        previous = lod


def our_rounds(config, final):
    for phase in phases(config, final):
        for nimg in range(phase.start_nimg, phase.end_nimg, phase.step_nimg):
            alpha = 1.0
            if phase.fading:
                alpha = (nimg - phase.fade_start_nimg) / phase.fade_nimg
            lod = math.log2(final // phase.resolution) + 1 - alpha
            reset = nimg == phase.start_nimg
            yield nimg, phase.resolution, lod, phase.batch_size, reset


def assert_same_rounds(config, final):
    theirs = np.array(list(official_rounds(config, final)))
    ours = np.array(list(our_rounds(config, final)))
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours[:, [0, 1, 3, 4]], theirs[:, [0, 1, 3, 4]])
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=1e-9)
    return len(ours)


@pytest.mark.parametrize("final", [256, 512, 1024])
def test_default_runs_equal_the_official_loop_round_by_round(final):
    assert assert_same_rounds(ScheduleConfig(), final) == 179_492


@pytest.mark.parametrize("values", ODD.values(), ids=ODD)
def test_odd_runs_equal_the_official_loop_round_by_round(values):
    assert_same_rounds(ScheduleConfig(batch_size=SMALL, **values), 64)


def test_the_default_run_at_1024_has_fifteen_phases_and_ends_growing_at_8400_kimg():
    schedule = phases(ScheduleConfig(), 1024)
    assert len(schedule) == 15
    assert [p.resolution for p in schedule if p.fading] == [2**k for k in range(4, 11)]
    assert 8_400_000 <= schedule[-1].start_nimg < 8_400_000 + 4 * 32


def test_phases_tile_the_run():
    schedule = phases(ScheduleConfig(total_kimg=3000), 128)
    assert schedule[0].start_nimg == 0
    for before, after in itertools.pairwise(schedule):
        assert before.end_nimg == after.start_nimg
    assert 0 <= schedule[-1].end_nimg - 3_000_000 < schedule[-1].step_nimg


def test_alpha_on_the_device_is_the_share_of_the_fade_that_has_passed():
    config = ScheduleConfig(
        stable_kimg=1.5, fade_kimg=2, total_kimg=9, batch_size=SMALL
    )
    fading = phases(config, 16)[1]
    assert fading.fading and fading.resolution == 16
    nimg = jnp.array([fading.start_nimg, 2500, 99_999], jnp.int32)
    expected = [(fading.start_nimg - 1500) / 2000, 0.5, 1.0]
    np.testing.assert_allclose(fading.alpha(nimg), expected, atol=1e-6)
    assert phases(config, 16)[0].alpha(nimg[0]) is None


def test_alpha_on_the_device_is_the_hosts_even_late_in_a_long_run():
    # In float32, 8 million images are known to half an image only.
    fading = phases(ScheduleConfig(stable_kimg=600.0005), 1024)[-2]
    assert fading.resolution == 1024 and fading.start_nimg > 7_800_000
    nimg = np.arange(fading.start_nimg, fading.end_nimg + 1, fading.step_nimg)
    expected = [fading.alpha_at(int(n)) for n in nimg]
    assert fading.fade_start_nimg % 1 == 0.5
    by_hand = np.minimum((nimg - fading.fade_start_nimg) / 600_000, 1)
    np.testing.assert_allclose(expected, by_hand, atol=1e-12)
    device = fading.alpha(jnp.asarray(nimg, jnp.int32))
    np.testing.assert_allclose(device, expected, atol=1e-7)


def test_a_run_without_growing_is_one_phase():
    config = ScheduleConfig(initial_resolution=32, total_kimg=1, batch_size=SMALL)
    (phase,) = phases(config, 32)
    assert (phase.resolution, phase.fading, phase.end_nimg) == (32, False, 1024)


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError, match="initial_resolution 64 is above"):
        phases(ScheduleConfig(initial_resolution=64), 32)
    with pytest.raises(ValueError, match=r"multiple of schedule\.accumulate 3"):
        phases(ScheduleConfig(accumulate=ByResolution(3)), 32)
    with pytest.raises(ValueError, match="below 0"):
        ScheduleConfig(fade_kimg=-1)
    with pytest.raises(ValueError, match="power of two"):
        ScheduleConfig(initial_resolution=12)
