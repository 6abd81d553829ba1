"""Fits on a tiny network: what moves, what must not, and where it leads."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import spaces
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.problem import Jitter, fit
from stylegan_jax.inversion.solver import Optimizer, Plan, last
from stylegan_jax.inversion.terms import NearTerm, NoiseWhiteTerm, PixelTerm

SHORT = Plan(steps=4, optimizer=Optimizer(learning_rate=0.05))
DESCENT = Plan(steps=1, optimizer=Optimizer(name="sgd", learning_rate=0.5), keep="last")


def fitted(generator, start, terms, plan=SHORT, **options):
    return last(fit(generator, start, terms, plan, **options))


def test_w_plus_of_a_drawn_image_recovers_it(generator, targets, start):
    plan = Plan(steps=1500, optimizer=Optimizer(learning_rate=0.05, cooldown=0.5))
    found = fitted(generator, start, [PixelTerm(targets)], plan, chunk=500)
    before, after = (  # mean squares, of levels
        np.mean((127.5 * (codes.draw(generator, code) - targets)) ** 2, (1, 2, 3))
        for code in (start, found.code)
    )
    assert (before > 65).all() and (after < 6.5).all()  # 30 and 40 dB
    np.testing.assert_allclose(found.loss, 1e-5 * after, rtol=1e-2)
    jax.tree.map(np.testing.assert_array_equal, found.code.noise, start.noise)


def test_solutions_outlive_the_iterations_after_them(small, targets_4, start_4):
    """And accumulate: of 5 iterations in chunks of 2 there are three."""
    plan = dataclasses.replace(SHORT, steps=5)
    each = list(fit(small, start_4, [PixelTerm(targets_4)], plan, chunk=2))
    assert [len(one.history) for one in each] == [2, 4, 5]
    for one in each:
        np.testing.assert_array_equal(one.code.ws, one.latent)
        np.testing.assert_allclose(one.loss, one.history.min(0), rtol=1e-6)
        assert one.history[-1] is not None and not one.failed.any()
    np.testing.assert_array_equal(each[-1].history[:2], each[0].history)
    one = each[-1].take(np.array([2]))
    np.testing.assert_array_equal(one.history, each[-1].history[:, 2:])
    np.testing.assert_array_equal(one.code.noise[1], each[-1].code.noise[1][2:])


@pytest.mark.thorough
def test_networks_trained_in_bfloat16_are_searched_in_float32(
    small, targets_4, start_4
):
    config = dataclasses.replace(small.config, dtype="bfloat16")
    low = dataclasses.replace(small, config=config)
    in_its_own = dataclasses.replace(SHORT, dtype="network")
    expected, found, own = (
        fitted(made, start_4, [PixelTerm(targets_4)], plan).code.ws
        for made, plan in [(small, SHORT), (low, SHORT), (low, in_its_own)]
    )
    np.testing.assert_array_equal(found, expected)
    assert np.abs(own - expected).max() > 1e-4


def test_noise_moves_alone(generator, targets, start):
    terms = [PixelTerm(targets)]
    found = fitted(generator, start, terms, moves="noise")
    for noise, before in zip(found.code.noise, start.noise, strict=True):
        assert not (noise == before).all()
    np.testing.assert_array_equal(found.code.ws, start.ws)
    assert found.latent is None and (found.history[-1] < found.history[0]).all()


@pytest.mark.thorough
def test_a_step_is_along_the_derivative_of_the_rows_alone(small, targets_4, start_4):
    """One step of gradient descent, against `jax.grad` of the loss spelt out."""
    ws = start_4.ws

    def loss(ws):
        images = small.synthesize(ws, start_4.noise)
        return 1e-5 * jnp.mean((255 / 2 * (images - targets_4)) ** 2, (1, 2, 3)).sum()

    slope = jax.jit(jax.grad(loss))(ws)
    terms = [PixelTerm(targets_4)]
    found = fitted(small, start_4, terms, DESCENT, layers=(3, 1))
    expected = np.array(ws)
    expected[:, 1] -= 0.5 * np.asarray(slope)[:, 1]
    np.testing.assert_allclose(found.code.ws, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.code.ws[:, ::2], ws[:, ::2])
    assert (found.code.ws[:, 1] != ws[:, 1]).any()
    # In w all layers are one variable: its derivative is their sum.
    found = fitted(small, start_4, terms, DESCENT, space="w")
    expected = ws - 0.5 * slope.sum(1, keepdims=True)
    np.testing.assert_allclose(found.code.ws, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize(("space", "rows"), [("z", 1), ("z+", 4)])
def test_in_z_the_mapping_is_part_of_the_network(
    small, targets_4, start_4, space, rows
):
    z = jnp.asarray(np.random.RandomState(2).randn(3, rows, 6), jnp.float32)
    terms = [PixelTerm(targets_4)]
    found = fitted(small, start_4, terms, space=space, latent=z)
    assert (found.history[-1] < found.history[0]).all()
    assert found.latent.shape == z.shape
    ws = small.map(found.latent.reshape(-1, 6))[:, 0].reshape(3, rows, -1)
    expected = np.broadcast_to(ws, start_4.ws.shape)
    np.testing.assert_allclose(found.code.ws, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="begins at `latent`"):
        fitted(small, start_4, terms, space=space)


def test_the_projector_moves_both_and_keeps_noise_normal(small, targets_4, start_4):
    statistics = spaces.w_statistics(small, count=500)
    jitter = Jitter(statistics.std, jax.random.split(jax.random.key(1), 3))
    found = fitted(
        small,
        start_4,
        [PixelTerm(targets_4), NoiseWhiteTerm()],
        dataclasses.replace(SHORT, keep="last"),
        moves="both",
        space="w",
        renormalise=True,
        jitter=jitter,
    )
    for noise, before in zip(found.code.noise, start_4.noise, strict=True):
        assert (np.asarray(noise) != np.asarray(before)).all()
        np.testing.assert_allclose(noise.mean((1, 2, 3)), 0, atol=1e-6)
        np.testing.assert_allclose((noise**2).mean((1, 2, 3)), 1, rtol=1e-4)
    ws = np.asarray(found.code.ws)
    np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], ws.shape))
    assert (ws != np.asarray(start_4.ws)).any()


@pytest.mark.thorough
def test_jitter_fades_out_and_is_scaled_by_the_spread_of_a_vector(generator):
    keys = jax.random.split(jax.random.key(1), 2000)
    jitter = Jitter(jnp.float32(3.0), keys)
    ws = jnp.ones((2000, 1, 4))
    for progress, share in [(0.0, 1.0), (0.375, 0.25), (0.75, 0.0), (0.9, 0.0)]:
        moved = jitter(ws, jnp.int32(7), jnp.float32(progress))
        deviation = float(jnp.std(moved - ws))
        np.testing.assert_allclose(deviation, 3.0 * 0.05 * share, rtol=0.03)
    again = jitter(ws, jnp.int32(8), jnp.float32(0.0))
    assert (again != jitter(ws, jnp.int32(7), jnp.float32(0.0))).all()
    alone = Jitter(jnp.float32(3.0), keys[5:6])(ws[:1], jnp.int32(8), 0.0)
    np.testing.assert_allclose(alone[0], again[5], rtol=1e-6)
    # Over vectors, not numbers: sqrt(w_dim) times the deviation of a number.
    z = np.random.RandomState(123).randn(500, 6).astype("f")
    w = np.asarray(generator.map(z))[:, 0].astype(np.float64)
    found = spaces.w_statistics(generator, count=500)
    spread = np.sqrt(((w - w.mean(0)) ** 2).sum() / 500)
    np.testing.assert_allclose(found.mean, w.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.std, spread, rtol=1e-4)
    nearest = ((w - w.mean(0)) ** 2).sum(1).argmin()
    np.testing.assert_array_equal(found.nearest_z, z[nearest])


def test_latents_far_from_the_mean_are_told_by_the_deviation_of_components(generator):
    z = np.random.RandomState(123).randn(500, 6).astype("f")
    w = np.asarray(generator.map(z))[:, 0].astype(np.float64)
    statistics = spaces.w_statistics(generator, count=500)
    away = (w - w.mean(0)) / w.std(0)
    np.testing.assert_allclose(statistics.deviations, w.std(0), rtol=1e-4)
    expected = np.sqrt((away**2).mean(1))
    np.testing.assert_allclose(statistics.farthest, expected.max(), rtol=1e-4)
    ws = jnp.asarray(np.stack([w[:4], w[4:8]], 1).repeat(2, 1), jnp.float32)
    both = np.sqrt((expected[:4] ** 2 + expected[4:8] ** 2) / 2)
    np.testing.assert_allclose(spaces.deviation(statistics, ws), both, rtol=1e-4)
    term = NearTerm(statistics, weight=0.3)
    found = term(jnp.zeros((4, 8, 8, 3)), Code(ws, ()))
    np.testing.assert_allclose(found, 0.3 * both**2, rtol=1e-4)

    def at(ws):
        return term(jnp.zeros((1, 8, 8, 3)), Code(ws, ()))[0]

    mean = jnp.broadcast_to(statistics.mean, (1, 4, len(statistics.mean)))
    assert (jax.grad(at)(mean) == 0).all()  # where searches begin; not NaN


def test_mistakes_are_named(generator, targets, start):
    silent = dataclasses.replace(
        generator, config=dataclasses.replace(generator.config, use_noise=False)
    )
    jitter = Jitter(jnp.float32(1), jax.random.split(jax.random.key(0), 3))
    newton = Plan(optimizer=Optimizer(name="lbfgs"))
    fewer, less = Code(start.ws[:, :2], start.noise), Code(start.ws, start.noise[1:])
    none = Code(start.ws, ())
    mean = [lambda images, code: jnp.mean(images)]
    for made, code, options, message in [
        (generator, start, {"layers": [4]}, r"layers \[4\]: this network has 4, 0 "),
        (generator, start, {"space": "s"}, "space 's' is not one of z"),
        (generator, fewer, {"moves": "noise"}, "another network"),
        (generator, less, {}, "another network"),
        (silent, none, {"moves": "noise"}, "no noise"),
        (generator, start, {"space": "z", "jitter": jitter}, "jitter is of w"),
        (generator, start, {"plan": newton, "jitter": jitter}, "take adam"),
        (generator, start, {"terms": mean}, r"returns \[\], not one number per image"),
    ]:
        with pytest.raises(UserError, match=message):
            fitted(made, code, **({"terms": [PixelTerm(targets)]} | options))


@pytest.mark.thorough
def test_a_plain_function_is_a_term(small, start_4):
    wanted = start_4.ws.mean() + 1.0

    def near(images, code):
        return jnp.mean((code.ws - wanted) ** 2, (1, 2)) + 0 * images.sum((1, 2, 3))

    class Unhashable:
        __hash__ = None

        def __call__(self, images, code):
            return near(images, code)

    plan = Plan(steps=20, optimizer=Optimizer(learning_rate=0.05))
    found = [
        fitted(small, start_4, [term], plan, chunk=20)
        for term in (near, functools.partial(near), Unhashable())
    ]
    for one in found:
        assert (one.history[-1] < 0.6 * one.history[0]).all()
        np.testing.assert_allclose(one.loss, found[0].loss, rtol=1e-5)
