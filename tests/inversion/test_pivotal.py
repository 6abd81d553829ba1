"""Pivotal tuning: its loss, what it moves, and how far the rest stays."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.inversion import pivotal, spaces
from stylegan_jax.inversion.code import draw
from stylegan_jax.inversion.feature_nets import NO_FEATURES
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import (
    Tuning,
    Weights,
    make_terms,
    recipe,
    with_perceptual,
    with_steps,
)
from stylegan_jax.inversion.solver import last

PIXELS = Weights(perceptual=0.0)
TUNING = Tuning(steps=20, learning_rate=3e-3, weights=PIXELS)


@pytest.fixture(scope="module")
def spread(small):
    return spaces.w_statistics(small, count=500).std


def tuned(small, code, target, spread, key, tuning=TUNING):
    given = {"spread": spread, "key": key}
    return last(pivotal.tune(small, code, target, NO_FEATURES, tuning, **given))


def test_neighbours_lie_at_a_distance_from_the_pivot_towards_samples():
    random = np.random.RandomState(0)
    pivot, sample = random.randn(2, 1, 3, 5)
    found = np.asarray(pivotal.neighbour(pivot, sample, 0.7), np.float64)
    for row in range(3):
        away = found[0, row] - pivot[0, row]
        towards = sample[0, row] - pivot[0, row]
        assert np.linalg.norm(away) == pytest.approx(0.7, rel=1e-5)
        assert away @ towards == pytest.approx(0.7 * np.linalg.norm(towards), rel=1e-5)


@pytest.mark.thorough
def test_the_loss_is_of_the_image_and_of_a_neighbour(
    small, start_4, targets_4, spread, key
):
    code, target = start_4[:1], targets_4[:1]
    tuning = dataclasses.replace(TUNING, locality=0.3, reach=0.5)
    moving = jax.tree.map(lambda x: x[None] * 1.1, small.params["synthesis"])
    problem = pivotal.TuningProblem(
        generator=small,
        code=code,
        image_terms=make_terms(pivotal._stage(tuning), target, code, NO_FEATURES),
        features=NO_FEATURES,
        spread=spread,
        key=key,
        tuning=tuning,
    )
    (found,) = problem.losses(moving, jnp.int32(4), jnp.float32(0))
    other = pivotal.with_weights(small, moving)
    z = jax.random.normal(jax.random.fold_in(key, 4), (1, small.config.z_dim))
    near = pivotal.neighbour(code.ws, small.map(z), 0.5 * spread)

    def error(a, b):
        return 1e-5 * np.mean((127.5 * np.asarray(a - b, np.float64)) ** 2)

    image = error(draw(other, code), target)
    held = error(*(net.synthesize(near, code.noise) for net in (other, small)))
    assert held > 0.01 * image
    assert found == pytest.approx(image + 0.3 * held, rel=1e-4)


def test_only_synthesis_moves_and_the_image_is_met(
    small, start_4, targets_4, spread, key
):
    code, target = start_4[:1], targets_4[:1]
    found = tuned(small, code, target, spread, key)
    chex.assert_trees_all_equal(
        found.generator.params["mapping"], small.params["mapping"]
    )
    errors = [
        np.square(draw(net, code) - target).mean() for net in (small, found.generator)
    ]
    assert errors[1] < 0.5 * errors[0]
    assert len(found.history) == 20 and not found.failed


@pytest.mark.thorough
def test_locality_keeps_other_samples(small, start_4, targets_4, spread, key):
    code, target = start_4[:1], targets_4[:1]
    free = dataclasses.replace(TUNING, locality=0.0)
    strong = dataclasses.replace(TUNING, locality=10.0)
    z = jax.random.normal(jax.random.key(9), (8, small.config.z_dim))
    changes = [
        np.square(
            tuned(small, code, target, spread, key, tuning).generator.sample(z, psi=1.0)
            - small.sample(z, psi=1.0)
        ).mean()
        for tuning in (free, strong)
    ]
    assert changes[1] < changes[0]


@pytest.mark.thorough
def test_the_preset_ends_with_a_network_for_each_image(small, pictures_4):
    tuning = recipe("pivotal", 4)
    assert tuning.space == "w" and tuning.tuning == Tuning()
    quick = with_perceptual(with_steps(tuning, 5), "none")
    assert quick.tuning is not None and quick.tuning.weights.perceptual == 0
    quick = dataclasses.replace(quick, tuning=TUNING)
    alone, together = (
        [x for step in invert(small, pictures, quick) for x in step.finished]
        for pictures in (pictures_4[1:2], pictures_4[:2])
    )
    for one, picture in zip(together, pictures_4[:2], strict=True):
        assert [stage.name for stage in one.stages] == ["w", "tuning"]
        errors = [np.mean((x.picture - picture.astype(float)) ** 2) for x in one.stages]
        assert errors[1] < errors[0] and one.network is not None
    first, second = alone[0].network, together[1].network
    assert first is not None and second is not None
    chex.assert_trees_all_equal(first.params, second.params)
