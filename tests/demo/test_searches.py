"""Searches that are watched find what they find unwatched, and can be stopped."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.demo import searches
from stylegan_jax.demo.searches import Effort
from stylegan_jax.demo.session import Sample, Session
from stylegan_jax.editing import local, masks
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.encoder import init_encoder
from stylegan_jax.inversion.feature_nets import NO_FEATURES
from stylegan_jax.inversion.problem import fit
from stylegan_jax.inversion.recipes import make_terms
from stylegan_jax.inversion.solver import last
from stylegan_jax.io import images

EFFORT = Effort(50, 50)  # a chunk each


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture(scope="module")
def picture(session):
    return session.draw(session.code(Sample(9, psi=1.0, noise_seed=1)))


def target(picture):
    return jnp.asarray(images.from_uint8(picture[None]))


def test_inversion_is_latents_then_noise(session, generator, picture, stop):
    told = list(searches.invert(session, picture, EFFORT, stop))
    assert [(p.done, p.total, p.finished) for p in told] == [
        (50, 100, False),
        (100, 100, False),
        (100, 100, True),
    ]
    latents, noise = local.quick_recipe(generator, "none", 50, 50).stages
    start, near = local.mean_start(generator), session.statistics
    terms = make_terms(latents, target(picture), start, NO_FEATURES, near)
    first = last(fit(generator, start, terms, latents.plan))
    terms = make_terms(noise, target(picture), first.code, NO_FEATURES)
    second = last(fit(generator, first.code, terms, noise.plan, moves="noise"))
    np.testing.assert_allclose(told[0].code.ws, first.code.ws, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(told[0].loss, first.history[-1, 0], rtol=1e-4)
    np.testing.assert_array_equal(told[-1].code.ws, told[0].code.ws)
    np.testing.assert_array_equal(told[0].code.noise[1], generator.noise[1])
    for found, expected in zip(told[-1].code.noise, second.code.noise, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(told[-1].picture, session.draw(told[-1].code))


@pytest.mark.thorough
def test_with_an_encoder_its_estimate_is_shown_first(generator, picture, stop):
    encoder = init_encoder(jax.random.key(0), generator, channel_max=4, hidden=4)
    session = Session(generator, encoder=encoder)
    told = list(searches.invert(session, picture, EFFORT, stop))
    assert [p.done for p in told] == [0, 50, 100, 100]
    (ws,) = np.asarray(encoder(target(picture)))
    np.testing.assert_allclose(told[0].code.ws[0], ws, rtol=1e-4, atol=1e-5)
    latents, _ = local.quick_recipe(generator, "none", 50, 50).stages
    start, near = jax.device_put(told[0].code), session.statistics
    terms = make_terms(latents, target(picture), start, NO_FEATURES, near)
    found = last(fit(generator, start, terms, latents.plan))
    np.testing.assert_allclose(told[1].code.ws, found.code.ws, rtol=1e-4, atol=1e-5)


def test_a_stopped_search_keeps_its_best(session, picture, stop):
    stop.set()
    told = list(searches.invert(session, picture, EFFORT, stop))
    assert [(p.done, p.finished) for p in told] == [(50, False), (50, True)]
    assert told[1].code is told[0].code


def test_what_is_in_the_hole_has_no_influence(session, generator, picture, stop):
    hole = masks.box(8, 0.25, 0.25, 0.75, 0.625)
    noisy = np.where(hole[0] > 0, 255 - picture, picture)
    first, second = (
        list(searches.inpaint(session, p, hole, EFFORT, threading.Event()))[-1]
        for p in (picture, noisy)
    )
    np.testing.assert_array_equal(first.picture, second.picture)
    edge = masks.feather(masks.dilate(hole, 0.06), 0.03)
    edits = local.inpaint(
        generator,
        target(picture),
        jnp.asarray(hole),
        local.mean_start(generator),
        local.Search(
            w=local.Plan(optimizer=local.Optimizer(learning_rate=0.05), steps=50),
            noise_steps=50,
        ),
        edge=jnp.asarray(edge),
    )
    expected = last(edits)
    np.testing.assert_allclose(first.code.ws, expected.code.ws, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        first.code.noise[3], expected.code.noise[3], rtol=1e-3, atol=1e-3
    )


def test_scribbles_start_at_the_picture_and_move_all_rows(session, stop):
    source = Sample(2, noise_seed=3)
    painted = session.draw(session.code(source))
    touched = masks.box(8, 0.0, 0.0, 0.5, 0.5)
    painted = np.where(touched[0] > 0, 255, painted).astype(np.uint8)
    effort = Effort(50, 0)
    search = searches.scribble(session, source, painted, touched, effort, stop)
    free = list(search)[-1]
    assert (np.abs(free.code.ws - session.code(source).ws).max(-1) > 1e-3).all()
    np.testing.assert_array_equal(free.code.noise[3], session.generator.noise[3])


def test_searches_for_nothing_are_refused(session, picture, stop):
    none, every = np.zeros((1, 8, 8, 1), "f"), np.ones((1, 8, 8, 1), "f")
    for hole, says in [(none, "nothing is marked"), (every, "everything is marked")]:
        with pytest.raises(UserError, match=says):
            next(searches.inpaint(session, picture, hole, EFFORT, stop))
    with pytest.raises(UserError, match="no stroke"):
        next(searches.scribble(session, Sample(1), picture, none, EFFORT, stop))
