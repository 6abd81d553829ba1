"""L-BFGS of many images: against a two-loop recursion in float64, and closed forms."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import quasi_newton, solver
from stylegan_jax.inversion.solver import Optimizer, Plan

LBFGS = Optimizer(name="lbfgs", memory=5)


@struct.dataclass
class Valley:
    """`sum_i curvature_i (x_i - 1)^2 / 2` of each image, over two arrays."""

    curvature: jax.Array  # [N, 8]

    def losses(self, moving, step, progress):
        x = jnp.concatenate([moving["a"], moving["b"].reshape(-1, 4)], 1)
        return 0.5 * jnp.sum(self.curvature * (x - 1) ** 2, 1)

    def project(self, moving):
        return moving


def valley(count=3):
    rows = [np.logspace(0, n + 1, 8) for n in range(count)]
    return Valley(jnp.asarray(rows, jnp.float32))


def start(count=3):
    draw = np.random.RandomState(0).randn(count, 8).astype(np.float32)
    return {"a": draw[:, :4], "b": draw[:, 4:].reshape(count, 2, 2)}


def searched(problem, moving, steps=40, **kwargs):
    moving = jax.tree.map(jnp.asarray, moving)
    chunks = [
        *solver.solve(problem, moving, Plan(steps=steps, optimizer=LBFGS), **kwargs)
    ]
    return chunks[-1][0], np.concatenate([losses for _, losses in chunks])


def oracle(curvature, x, steps, memory):
    """Losses of L-BFGS with backtracking in float64, one gradient per iteration."""
    loss = lambda x: 0.5 * np.sum(curvature * (x - 1) ** 2)  # noqa: E731
    gradient = lambda x: curvature * (x - 1)  # noqa: E731
    pairs, losses = [], []
    point: Any = None
    way: Any = None
    last: Any = None
    before, slope, length = np.inf, 0.0, 0.0
    for _ in range(steps):
        value = loss(x)
        losses.append(value)
        if value <= before + 1e-4 * length * slope:
            g = gradient(x)
            if last is not None:
                pairs = [*pairs, (x - point, g - last)][-memory:]
            q, found = g.copy(), []
            for s, y in reversed(pairs):
                share = s @ q / (s @ y)
                q, found = q - share * y, [share, *found]
            scale = min(1, 1 / np.linalg.norm(g))
            for s, y in pairs[-1:]:
                scale = s @ y / (y @ y)
            q = q * scale
            for (s, y), share in zip(pairs, found, strict=True):
                q = q + s * (share - y @ q / (s @ y))
            point, way, last, before, length = x, -q, g, value, 1.0
            slope = g @ way
        else:
            parabola = -slope * length**2 / 2 / (value - before - length * slope)
            length = np.clip(parabola, 0.1 * length, 0.5 * length)
        x = point + length * way
    return np.array(losses)


def test_it_is_the_two_loop_recursion_of_each_image():
    problem, moving = valley(), start()
    _, history = searched(problem, moving, 16)
    for i in range(3):
        x = np.concatenate([moving["a"][i], moving["b"][i].reshape(4)])
        curvature = np.asarray(problem.curvature[i], np.float64)
        expected = oracle(curvature, x.astype(np.float64), 16, LBFGS.memory)
        np.testing.assert_allclose(history[:, i], expected, rtol=0.02, atol=1e-6)
    # Some step was refused.
    assert (np.diff(history, axis=0) > 0).any()


def test_it_finds_minima_that_adam_does_not_reach():
    problem, moving = valley(), start()
    found, _ = searched(problem, moving, 80)
    np.testing.assert_allclose(found.best["a"], 1, atol=1e-2)
    np.testing.assert_allclose(found.best["b"], 1, atol=1e-2)
    adam = Plan(steps=80, optimizer=Optimizer(learning_rate=0.05))
    moving = jax.tree.map(jnp.asarray, moving)
    other = solver.last(solver.solve(problem, moving, adam))[0]
    assert (found.best_loss < 1e-3 * other.best_loss).all()


def test_images_do_not_affect_each_other():
    _, together = searched(valley(), start())
    for i in range(3):
        problem = dataclasses.replace(valley(), curvature=valley().curvature[i : i + 1])
        alone = jax.tree.map(lambda x, i=i: x[i : i + 1], start())
        _, history = searched(problem, alone)
        np.testing.assert_array_equal(history[:, 0], together[:, i])


def test_a_search_that_stopped_goes_on_bit_for_bit():
    whole, history = searched(valley(), start(), chunk=15)
    moving = jax.tree.map(jnp.asarray, start())
    plan = Plan(steps=40, optimizer=LBFGS)
    state, first = next(iter(solver.solve(valley(), moving, plan, chunk=15)))
    middle = jax.tree.map(np.array, state)
    rest, last = searched(valley(), start(), chunk=15, resume=middle)
    np.testing.assert_array_equal(np.concatenate([first, last]), history)
    jax.tree.map(np.testing.assert_array_equal, rest.best, whole.best)


def test_a_direction_that_does_not_descend_begins_anew():
    """Of the concave -x^2 the curvature is negative: steps go along the gradient."""
    transformation: Any = quasi_newton.lbfgs(3)
    x: Any = jnp.asarray([[1.0]])
    state, updates = transformation.init(x), x
    for _ in range(4):
        updates, state = transformation.update(-2 * x, state, x, value=-(x**2)[:, 0])
        assert updates[0, 0] > 0
        np.testing.assert_allclose(updates, jnp.minimum(1, 2 * x), rtol=1e-6)
        x = x + updates


def test_mistakes_are_named():
    with pytest.raises(UserError, match="a memory of 0 steps"):
        Optimizer(name="lbfgs", memory=0)
