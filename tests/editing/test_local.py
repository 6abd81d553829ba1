"""Local edits of a small network, whose own pictures are the photographs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from stylegan_jax.editing import local, masks
from stylegan_jax.features import included
from stylegan_jax.inversion.code import Code, stored_noise
from stylegan_jax.inversion.code import draw as drawn_eagerly
from stylegan_jax.inversion.feature_nets import FeatureNets
from stylegan_jax.inversion.recipes import noise_rate
from stylegan_jax.inversion.solver import Optimizer, Plan, last
from tests import tiny

PLAN = Plan(optimizer=Optimizer(learning_rate=0.05), steps=100)
NOISE = Plan(optimizer=Optimizer(learning_rate=0.2), steps=100)
SEARCH = local.Search(w=PLAN, noise=NOISE)
LEFT = jnp.asarray(masks.part("left", 8))
draw = jax.jit(drawn_eagerly)


@pytest.fixture(scope="module")
def generator():
    return tiny.generator(tiny.MODEL_8)


@pytest.fixture(scope="module")
def scenes(generator):
    """Two codes with the stored noise, and their pictures."""
    noise = stored_noise(generator, 1)
    codes = [Code(tiny.code(generator, seed).ws, noise) for seed in (0, 1)]
    return [(code, draw(generator, code)) for code in codes]


def psnr(a, b, mask=None):
    """Of images in [-1, 1], inside a mask of 0 and 1."""
    square = (np.asarray(a) - np.asarray(b)) ** 2
    mask = np.ones_like(square) if mask is None else np.broadcast_to(mask, square.shape)
    return -10 * np.log10((square * mask).sum() / mask.sum() / 4)


@pytest.mark.thorough
def test_a_crossover_shows_one_image_inside_and_the_other_outside(generator, scenes):
    (_, x), (_, y) = scenes
    start = local.mean_start(generator)
    edit = last(local.crossover(generator, x, y, LEFT, start, SEARCH))
    image, coarse = draw(generator, edit.code), draw(generator, edit.latents)
    begun = draw(generator, start)
    for target, other, mask in ((x, y, LEFT), (y, x, 1 - LEFT)):
        assert psnr(coarse, target, mask) > psnr(begun, target, mask) + 1.5
        assert psnr(image, target, mask) > psnr(coarse, target, mask) + 3
        assert psnr(image, target, mask) > psnr(image, other, mask) + 6
    # Latents first, and never again.
    np.testing.assert_array_equal(edit.code.ws, edit.latents.ws)
    jax.tree.map(np.testing.assert_array_equal, edit.latents.noise, start.noise)


@struct.dataclass
class Blurred:
    """A term whose every value depends on neighbours, as features do."""

    target: jax.Array
    mask: jax.Array

    def __call__(self, images, code):
        return jnp.mean((self.mask * (blur(images) - self.target)) ** 2, (1, 2, 3))


def blur(images):
    return sum(jnp.roll(images, step, axis) for step in (-1, 0, 1) for axis in (1, 2))


def test_inpainting_ignores_the_hole_and_keeps_the_rest(generator, scenes):
    (_, x), (_, y) = scenes
    hole = jnp.asarray(masks.box(8, 0.5, 0.5, 1.0, 1.0))
    edge = jnp.asarray(masks.feather(np.asarray(hole), 0.06))
    spoilt = jnp.where(hole > 0, y, x)
    spoilt = spoilt.at[0, 5, 5, 0].set(jnp.nan)
    start = local.mean_start(generator)
    search = dataclasses.replace(
        SEARCH, perceptual=lambda x, mask: Blurred(blur(x), mask)
    )
    edits = [
        last(local.inpaint(generator, image, hole, start, search, edge=edge))
        for image in (x, spoilt)
    ]
    jax.tree.map(np.testing.assert_array_equal, *edits)
    edit = edits[0]
    image, coarse = draw(generator, edit.code), draw(generator, edit.latents)
    known = np.asarray(edge < 0.01)
    assert psnr(image, x, known) > psnr(coarse, x, known) + 1
    # In the hole noise keeps what the latents gave.
    assert psnr(image, coarse, hole) > 25
    # Rows 1 to 9, 17 and 18 of 18 are the first two of 4; the others keep the start's.
    np.testing.assert_array_equal(edit.code.ws[:, 2:], start.ws[:, 2:])
    assert not np.any(edit.code.ws[:, :2] == start.ws[:, :2])


@pytest.mark.thorough
def test_scribbles_move_the_first_rows_and_stay_near_the_code(generator, scenes):
    code, image = scenes[0]
    stroke = jnp.asarray(masks.box(8, 0.25, 0.5, 0.75, 0.75))
    painted = jnp.where(stroke > 0, 0.8, image)
    edits = [
        last(
            local.scribble(
                generator, painted, stroke, code, SEARCH, rows=[0, 1], stay=stay
            )
        )
        for stay in (0.0, 10.0)
    ]
    free, held = (np.asarray(edit.code.ws - code.ws) for edit in edits)
    assert np.linalg.norm(held) < 0.1 * np.linalg.norm(free)
    np.testing.assert_array_equal(free[:, 2:], 0)
    drawn, coarse = draw(generator, edits[0].code), draw(generator, edits[0].latents)
    assert psnr(drawn, painted, stroke) > psnr(image, painted, stroke) + 6
    outside = 1 - stroke
    assert psnr(drawn, coarse, outside) > 20


@pytest.mark.thorough
def test_a_local_style_changes_the_colours_outside_and_keeps_the_inside(
    generator, scenes
):
    (code, x), (_, y) = scenes
    edit = last(local.transfer_local_style(generator, x, y, LEFT, code, SEARCH))
    image = draw(generator, edit.latents)

    def distance(image):
        grams = [local.colour_gram(i, 1 - LEFT) for i in (image, y)]
        return float(jnp.mean((grams[0] - grams[1]) ** 2))

    assert distance(image) < 0.1 * distance(x)
    final = draw(generator, edit.code)
    assert psnr(final, x, LEFT) > psnr(image, x, LEFT) + 3
    assert psnr(final, x, LEFT) > psnr(final, x, 1 - LEFT) + 6


def test_a_face_swap_is_a_crossover_in_the_light_of_the_image(generator, scenes):
    (code, x), (_, y) = scenes
    donor = local.match_colours(y, x, LEFT)
    swapped = last(local.swap_face(generator, x, y, LEFT, code, SEARCH))
    crossed = last(local.crossover(generator, donor, x, LEFT, code, SEARCH))
    jax.tree.map(np.testing.assert_array_equal, swapped, crossed)


def test_colours_are_matched_to_mean_and_deviation():
    draws = np.random.RandomState(0)
    image, reference = 0.1 * draws.randn(2, 2, 8, 8, 3)
    reference += [0.3, -0.1, 0.0]
    matched = local.match_colours(
        jnp.asarray(image, "f"), jnp.asarray(reference, "f"), LEFT
    )
    inside, wanted = np.float64(matched)[:, :, :4], reference[:, :, :4]
    np.testing.assert_allclose(inside.mean((1, 2)), wanted.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(inside.std((1, 2)), wanted.std((1, 2)), atol=1e-5)


def test_moments_of_colour_are_those_of_numpy():
    image = np.random.RandomState(1).randn(2, 8, 8, 3)
    mask = np.random.RandomState(2).rand(1, 8, 8, 1)
    pixels = np.concatenate([image, np.ones((2, 8, 8, 1))], -1).reshape(2, 64, 4)
    expected = [p.T @ (mask.reshape(64, 1) * p) / mask.sum() for p in pixels]
    actual = local.colour_gram(jnp.asarray(image, "f"), jnp.asarray(mask, "f"))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    other = jnp.asarray(image[::-1], "f")
    term = local.colour_term(other, jnp.asarray(mask, "f"))
    loss = np.mean((np.array(expected) - np.array(expected)[::-1]) ** 2, (1, 2))
    np.testing.assert_allclose(term(jnp.asarray(image, "f"), None), loss, rtol=1e-3)


def test_rates_are_of_the_resolution_and_of_what_is_compared():
    purposes = ("invert", "inpaint", "edit")
    assert {noise_rate(1024, purpose) for purpose in purposes} == {5}
    found = [noise_rate(32, purpose) for purpose in purposes]
    np.testing.assert_allclose(found, 5 * 2.0 ** (-5 * np.array([1 / 4, 1 / 2, 4 / 3])))
    plans = [local.inpainting_plan(kind) for kind in ("vgg16", "included", "none")]
    assert [plan.optimizer.learning_rate for plan in plans] == [0.8, 20.0, 20.0]
    assert {(plan.optimizer.name, plan.steps) for plan in plans} == {("sgd", 200)}


def test_inpainting_takes_the_rate_of_what_it_compares_by(generator, scenes):
    (_, x), _ = scenes
    hole = jnp.asarray(masks.box(8, 0.5, 0.5, 1.0, 1.0))
    features = FeatureNets(included=included.load())
    plans = [local.inpainting_plan("included"), local.inpainting_plan("vgg16"), None]
    wanted, other, found = (
        last(local.inpaint(generator, x, hole, search=search)).code.ws
        for plan in plans
        for search in [local.Search(features=features, noise_steps=0, w=plan)]
    )
    np.testing.assert_array_equal(found, wanted)
    assert np.abs(found - other).max() > 1e-3


def test_searches_start_at_the_mean_or_around_it(generator):
    start = local.mean_start(generator, 3)
    mean = np.asarray(generator.w_avg)
    np.testing.assert_allclose(start.ws, np.broadcast_to(mean, (3, 4, 6)), atol=1e-6)
    assert start.noise[3].shape == (3, 8, 8, 1)
    around = local.mean_start(generator, 3, spread=0.4, key=jax.random.key(1)).ws
    around = np.asarray(around)
    assert 0.3 < np.abs(around - mean).max() <= 0.4001
    np.testing.assert_array_equal(around[:, 0], around[:, 3])
    assert np.unique(around[:, 0, 0]).size == 3
