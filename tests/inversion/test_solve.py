"""The solver on problems whose answers are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import solver
from stylegan_jax.inversion.solver import Optimizer, Plan, Plateau


@struct.dataclass
class Bowl:
    """`scale ||x - centre||^2` of each image; not finite where the first one has
    passed a wall."""

    centre: jax.Array  # [N, D]
    scale: jax.Array  # [N]
    wall: float = struct.field(pytree_node=False, default=np.inf)

    def losses(self, moving, step, progress):
        loss = self.scale * jnp.sum((moving["x"] - self.centre) ** 2, 1)
        behind = (moving["x"][:, 0] > self.wall) & (jnp.arange(len(loss)) == 0)
        return jnp.where(behind, jnp.nan, loss)

    def project(self, moving):
        return moving


def bowl(count=3, **kwargs):
    random = np.random.RandomState(0)
    centre = jnp.asarray(random.rand(count, 2) + 1, jnp.float32)
    return Bowl(centre, jnp.asarray([1.0, 10.0, 0.1][:count]), **kwargs)


START = {"x": jnp.zeros((3, 2))}
PLAN = Plan(steps=60, optimizer=Optimizer(learning_rate=0.05))


def to_the_end(*args, **kwargs):
    """The last state, and the losses of all iterations."""
    chunks = [*solver.solve(*args, **kwargs)]
    return chunks[-1][0], np.concatenate([losses for _, losses in chunks])


def kept(state):
    return jax.tree.map(np.array, state)


def test_it_is_optax_adam_and_the_best_is_kept():
    problem, tx = bowl(), optax.adam(0.05)
    x, state, losses = START, tx.init(START), []
    for _ in range(60):
        loss = problem.losses(x, 0, 0)
        losses.append(loss)
        gradient = jax.grad(lambda x: problem.losses(x, 0, 0).sum())(x)
        updates, state = tx.update(gradient, state, x)
        x = optax.apply_updates(x, updates)

    found, history = to_the_end(problem, START, PLAN, chunk=25)
    np.testing.assert_allclose(history, np.stack(losses), rtol=1e-4)
    np.testing.assert_allclose(found.moving["x"], x["x"], rtol=1e-5)
    np.testing.assert_allclose(found.best_loss, history.min(0), rtol=1e-6)
    best = problem.losses(found.best, 0, 0)
    np.testing.assert_allclose(best, history.min(0), rtol=1e-4)
    assert found.steps.tolist() == [60, 60, 60]
    assert not found.stopped.any()


def test_a_run_that_stopped_and_went_on_is_the_same_bit_for_bit():
    whole, history = to_the_end(bowl(), START, PLAN, chunk=20)
    parts = []
    for state, losses in solver.solve(bowl(), START, PLAN, chunk=20):
        middle = kept(state)
        parts.append(losses)
        if len(parts) == 2:
            break
    for resume in (middle, jax.tree.leaves(middle)):
        rest, last = to_the_end(bowl(), START, PLAN, chunk=20, resume=resume)
        np.testing.assert_array_equal(np.concatenate([*parts, last]), history)
        jax.tree.map(np.testing.assert_array_equal, kept(rest), kept(whole))
    ((again, none),) = solver.solve(bowl(), START, PLAN, chunk=20, resume=rest)
    assert none.shape == (0, 3)  # nothing was left to do
    np.testing.assert_array_equal(again.best["x"], whole.best["x"])
    with pytest.raises(UserError, match="other images or settings"):
        to_the_end(bowl(2), {"x": jnp.zeros((2, 2))}, PLAN, resume=middle)


@pytest.mark.parametrize("devices", [None, 1, 3])
def test_all_chunks_are_one_program(devices):
    start = START
    if devices is not None:
        mesh = Mesh(jax.devices()[:devices], ("data",))
        start = jax.device_put(START, NamedSharding(mesh, PartitionSpec("data")))
    rate = 0.01 * (devices or 2)  # a plan of its own
    plan = Plan(steps=6, optimizer=Optimizer(learning_rate=rate))
    before = solver.run_chunk._cache_size()
    to_the_end(bowl(), start, plan, chunk=2)
    assert solver.run_chunk._cache_size() == before + 1


def test_an_image_whose_loss_is_not_finite_goes_back_and_the_others_do_not_notice():
    sound, expected = to_the_end(bowl(), START, PLAN)
    found, history = to_the_end(bowl(wall=0.5), START, PLAN)
    assert found.failed.tolist() == [True, False, False]
    np.testing.assert_array_equal(history[:, 1:], expected[:, 1:])
    np.testing.assert_array_equal(found.best["x"][1:], sound.best["x"][1:])
    # Adam takes steps of 0.05 here: the last one before the wall is the tenth.
    assert 0.44 < found.best["x"][0, 0] <= 0.5
    np.testing.assert_array_equal(found.moving["x"][0], found.best["x"][0])
    assert found.best_loss[0] == np.nanmin(history[:, 0])
    assert np.isfinite(history[-1, 0]) and found.steps.tolist()[0] in (10, 11)


def test_a_plateau_stops_one_image_and_all_stopped_stops_the_rest_of_the_run():
    problem = dataclasses.replace(bowl(), centre=jnp.zeros((3, 2)).at[1].set(2.0))
    plan = dataclasses.replace(PLAN, steps=1000, plateau=Plateau(patience=7, gain=0.02))
    found, history = to_the_end(problem, START, plan, chunk=10)
    # Those that are there already stop at once: one loss, then seven no better.
    assert found.steps.tolist()[0] == found.steps.tolist()[2] == 7
    assert 40 < found.steps[1] < len(history) < 1000
    assert len(history) % 10 == 0 and len(history) - found.steps[1] <= 10
    # Each waits from its own last gain: after it no loss is lower by 2 %.
    own = history[: int(found.steps[1]) + 1, 1]
    assert own[-7:].min() > own[:-7].min() * 0.98
    np.testing.assert_allclose(found.best["x"][1], [2, 2], atol=0.2)


def test_the_last_is_kept_where_it_is_wanted_unless_it_is_not_finite():
    plan = dataclasses.replace(PLAN, steps=10, keep="last")
    found, _ = to_the_end(bowl(), START, plan)
    np.testing.assert_array_equal(found.best["x"], found.moving["x"])
    np.testing.assert_allclose(found.best["x"], 0.5, atol=0.01)
    at_the_end = bowl().losses(found.moving, found.step, jnp.float32(1))
    np.testing.assert_allclose(found.best_loss, at_the_end, rtol=1e-6)
    endless = Optimizer(name="sgd", learning_rate=1e38)
    plan = dataclasses.replace(plan, steps=2, optimizer=endless)
    found, _ = to_the_end(bowl(), START, plan)
    np.testing.assert_array_equal(found.best["x"], START["x"])


def test_learning_rates_rise_and_fall_as_the_projector_s():
    optimizer = Optimizer(learning_rate=0.1, warmup=0.05, cooldown=0.25)
    for step in (0, 7, 50, 500, 750, 801, 999):
        t = step / 1000
        ramp = min(1.0, (1.0 - t) / 0.25)
        ramp = (0.5 - 0.5 * np.cos(ramp * np.pi)) * min(1.0, t / 0.05)
        np.testing.assert_allclose(optimizer.rate(step, 1000), 0.1 * ramp, atol=1e-7)
    assert Optimizer().rate(999, 1000) == np.float32(0.01)


@struct.dataclass
class Slope:
    """`x + progress`: its gradient is 1 everywhere."""

    def losses(self, moving, step, progress):
        return moving["x"][:, 0] + progress

    def project(self, moving):
        return moving


def test_searches_of_any_length_are_one_program():
    optimizer = Optimizer(name="sgd", learning_rate=0.5, warmup=0.3, cooldown=0.4)
    compiled = solver.run_chunk._cache_size()
    for steps in (5, 20, 33):
        plan = Plan(steps=steps, optimizer=optimizer)
        found, history = to_the_end(Slope(), {"x": jnp.zeros((1, 1))}, plan, chunk=8)
        progress = np.arange(steps) / steps
        rates = 0.5 * np.minimum(1, progress / 0.3)
        rates *= 0.5 - 0.5 * np.cos(np.pi * np.minimum(1, (1 - progress) / 0.4))
        x = -np.cumsum(np.append(0.0, rates))
        np.testing.assert_allclose(history[:, 0], x[:-1] + progress, atol=1e-5)
        np.testing.assert_allclose(found.moving["x"][0, 0], x[-1], atol=1e-5)
    assert solver.run_chunk._cache_size() == compiled + 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimizer(name="newton"), "newton"),  # type: ignore[arg-type]
        (lambda: Optimizer(learning_rate=0.0), "above 0"),
        (lambda: Optimizer(warmup=2.0), "shares"),
        (lambda: Plateau(patience=0), "patience 0"),
        (lambda: Plan(steps=-1), "0 at least"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
