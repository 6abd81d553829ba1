"""Several updates of the discriminator for one of the generator (`k` of 2014)."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.distributed import parallel
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig, phases
from stylegan_jax.training.state import OptimizerConfig, init_state
from stylegan_jax.training.step import make_step, to_float
from tests import tiny

MODEL = dataclasses.replace(tiny.POINTS, normalize_z=False)
OPTIMIZER = OptimizerConfig(learning_rate=ByResolution(0.01), beta1=0.5, ema_kimg=0.008)
LOSS = LossConfig(r1_gamma=0.1)
ONCE = tiny.phase(1)
TWICE = dataclasses.replace(ONCE, d_steps=2)


def stepped(state, phase, points):
    step = make_step(MODEL, LOSS, OPTIMIZER, phase, parallel.make_mesh(1))
    batch = {"images": points, "labels": np.zeros((*points.shape[:2], 0), "f")}
    state, metrics = step(jax.tree.map(jnp.copy, state), batch, jax.random.key(3))
    return jax.device_get((state, metrics))


@pytest.mark.thorough
def test_two_updates_of_the_discriminator_come_before_one_of_the_generator():
    points = np.random.RandomState(0).randn(2, 8, 1, 1, 2).astype("f")
    state = init_state(jax.random.key(0), MODEL, OPTIMIZER)
    both, metrics = stepped(state, TWICE, points)
    # The same by single steps, the first one's update of the generator undone.
    first, first_metrics = stepped(state, ONCE, points[:1])
    undone = dataclasses.replace(
        first, g_params=state.g_params, g_opt_state=state.g_opt_state
    )
    second, second_metrics = stepped(undone, ONCE, points[1:])
    for name in ("d_params", "g_params", "g_ema", "d_opt_state", "g_opt_state"):
        chex.assert_trees_all_close(
            getattr(both, name), getattr(second, name), rtol=1e-5, atol=1e-7
        )
    assert int(both.nimg) == int(second.nimg) == 16
    for name in ("loss/D", "r1", "scores/real"):
        mean = (first_metrics[name] + second_metrics[name]) / 2
        np.testing.assert_allclose(metrics[name], mean, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/G"], second_metrics["loss/G"], rtol=1e-5)
    # It did move, and the first update was not lost.
    assert not np.allclose(
        both.d_params["output"]["weight"], first.d_params["output"]["weight"]
    )


def test_images_are_counted_as_the_discriminator_sees_them():
    config = ScheduleConfig(
        initial_resolution=8,
        total_kimg=0.096,
        repeats=2,
        d_steps=3,
        batch_size=ByResolution(8),
    )
    (phase,) = phases(config, 8)
    assert phase.minibatches == 6 and phase.step_nimg == 48
    assert phase.end_nimg == 96


def test_bytes_become_minus_one_to_one_and_points_stay():
    values = to_float(jnp.array([0, 255, 51], jnp.uint8))
    np.testing.assert_allclose(values, [-1, 1, -0.6], atol=1e-6)
    points = jnp.array([3.5, -2.0], jnp.float32)
    np.testing.assert_array_equal(to_float(points), points)
