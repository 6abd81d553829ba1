"""Symptoms of a lost run, from the numbers of its ticks."""

import math

import numpy as np
import pytest

from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training import sample_grids
from stylegan_jax.training.config import RunConfig
from stylegan_jax.training.health import HealthConfig, Monitor
from stylegan_jax.training.losses import LossConfig

WELL = {"r1": 0.1, "scores/real": 1.0, "scores/fake": -1.0}
SURE = math.log(0.999 / 0.001)  # logit of the default certainty


def watch(ticks, loss=LossConfig(r1_gamma=10.0), diversity=None, **config):  # noqa: B008
    """Image counts of the reports over some ticks of 1000 images, and the reports."""
    monitor = Monitor(HealthConfig(**config), loss, nimg=0)
    reports = []
    for i, metrics in enumerate(ticks):
        spread = None if diversity is None else diversity[i]
        found = monitor.observe(1000 * (i + 1), WELL | metrics, spread)
        if found is not None:
            reports.append((1000 * (i + 1), found))
    return reports


def test_a_healthy_run_is_left_in_peace():
    rng = np.random.default_rng(0)
    assert not watch([{"r1": r} for r in rng.lognormal(-2, 0.5, 200)])


def test_r1_that_explodes_is_reported_once_after_the_patience():
    # gamma / 2 * 4 = 20 is above the penalty of 10, and 4 is 40 times the usual 0.1.
    ticks = [{}] * 6 + [{"r1": 4.0}] * 5
    ((nimg, report),) = watch(ticks)
    assert nimg == 9000 and report.healthy_nimg == 6000
    assert "R1 explodes (4, usual was 0.1)" in str(report)
    assert "learning_rate" in str(report)
    # Neither large but usual, nor unusual but small, nor short.
    assert not watch([{"r1": 4.0}] * 20)
    assert not watch([{"r1": 0.01}] * 6 + [{"r1": 0.9}] * 5)
    assert not watch([{}] * 6 + [{"r1": 4.0}] * 2 + [{}] * 3)


def test_what_is_usual_begins_anew_with_a_phase():
    monitor = Monitor(HealthConfig(), LossConfig(r1_gamma=10.0), nimg=0)
    for i in range(6):
        monitor.observe(i, WELL)
    monitor.new_phase()
    assert all(monitor.observe(9 + i, WELL | {"r1": 4.0}) is None for i in range(5))


@pytest.mark.parametrize(
    ("real", "fake", "says"),
    [
        (SURE + 0.1, -SURE - 0.1, "is always right"),
        (SURE + 0.1, SURE + 0.1, "calls everything real"),
        (-SURE - 0.1, -SURE - 0.1, "calls everything fake"),
        (SURE - 0.1, -SURE - 0.1, None),
        (SURE + 0.1, -SURE + 0.1, None),
    ],
)
def test_a_discriminator_at_0_or_1(real, fake, says):
    ticks = [{}] + [{"scores/real": real, "scores/fake": fake}] * 3
    reports = watch(ticks)
    assert [nimg for nimg, _ in reports] == ([] if says is None else [4000])
    if says:
        assert says in str(reports[0][1]) and reports[0][1].healthy_nimg == 1000
    # Wasserstein critics have no probability.
    assert not watch(ticks, LossConfig(objective="wgan"))


def test_samples_that_become_the_same_are_a_collapse_but_not_before_they_varied():
    spread = [0.01, 0.05, None, 0.5, 0.09, None, 0.05, None, 0.02, 0.01]
    ((nimg, report),) = watch([{}] * 10, diversity=spread)
    # The known ticks 5, 7 and 9 are the first three below a tenth after a half; at 6
    # and 8 nothing else was wrong, so the run counts as healthy until 4.
    assert nimg == 9000 and report.healthy_nimg == 4000
    assert "nearly all the same" in str(report)
    assert not watch([{}] * 10, diversity=[0.05] * 10)


def test_the_diversity_of_a_grid_is_relative_to_the_datas():
    config, model = RunConfig(grid_rows=2, grid_columns=3), ModelConfig()
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 256, (2, 3, 4, 4, 3)).astype(np.float64)

    def grid(cells):
        return cells.transpose(0, 2, 1, 3, 4).reshape(8, 12, 3)

    mean = cells.mean(axis=(0, 1), keepdims=True)
    half = grid(mean + (cells - mean) / 2)
    found = sample_grids.diversity(config, model, half, grid(cells))
    np.testing.assert_allclose(found, 0.5, rtol=1e-5)
    same = grid(np.broadcast_to(mean, cells.shape))
    np.testing.assert_allclose(
        sample_grids.diversity(config, model, same, grid(cells)), 0, atol=1e-6
    )
    points = ModelConfig(
        resolution=1,
        mlp_layers=1,
        use_styles=False,
        use_noise=False,
        mbstd_group_size=0,
    )
    assert sample_grids.diversity(config, points, half, half) is None


def test_settings_out_of_range_are_refused():
    for bad in ({"certainty": 1.0}, {"collapse": 0.5}, {"patience_ticks": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            HealthConfig(**bad)
