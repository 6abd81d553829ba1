"""Densities and discriminators on the line against closed forms; modes of runs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stylegan_jax.commands import coverage
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import Points
from stylegan_jax.errors import UserError
from stylegan_jax.figures import points
from stylegan_jax.io import plots
from stylegan_jax.training import objectives
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.state import OptimizerConfig, init_state
from tests import tiny

LINE = DataConfig(name="gaussian", num_channels=1, points_std=0.5, points_size=4_000)
MODEL = dataclasses.replace(tiny.POINTS, num_channels=1, z_dim=1, w_dim=1)


def normal(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))


@pytest.mark.parametrize("slope", [2.0, -0.5])
def test_the_density_of_a_straight_map_is_normal(slope):
    z, edges = np.linspace(-6, 6, 4001), np.linspace(-3, 5, 201)
    middle = (edges[1:] + edges[:-1]) / 2
    found = points.pushed_density(z, slope * z + 1, edges)
    np.testing.assert_allclose(found, normal(middle, 1, abs(slope)), atol=1e-3)


def test_the_density_of_a_folded_map_adds_both_branches():
    """Of z squared it is chi squared with one degree of freedom."""
    z, edges = np.linspace(-6, 6, 20_001), np.linspace(0.5, 4, 71)
    middle = (edges[1:] + edges[:-1]) / 2
    chi_squared = np.exp(-middle / 2) / np.sqrt(2 * np.pi * middle)
    found = points.pushed_density(z, z**2, edges)
    np.testing.assert_allclose(found, chi_squared, rtol=2e-3)


def test_the_density_of_the_data_is_that_of_its_points():
    source = Points(dataclasses.replace(LINE, points_size=100_000))
    edges = np.linspace(-0.5, 2.5, 31)
    counts = np.histogram(source.values[:, 0], edges)[0] / len(source)
    middle = (edges[1:] + edges[:-1]) / 2
    density = points.normal_density(middle, source.centers[:, 0], source.std)
    np.testing.assert_allclose(counts / np.diff(edges), density, atol=0.02)


def test_a_discriminator_of_the_packages_loss_becomes_the_best_one():
    """Fakes stay N(0, 0.5), reals are N(1, 0.5): D*(x) = sigmoid(4 x - 2)."""
    model = dataclasses.replace(MODEL, mlp_width=32)
    state = init_state(jax.random.key(0), model, OptimizerConfig())
    phase = tiny.phase(1, batch_size=512)

    def generate(params, w_avg, batch, alpha):
        return batch["fakes"], w_avg

    loss = LossConfig(r1_gamma=0.0)
    d_loss = objectives.make_discriminator_loss(model, loss, phase, generate)
    adam = optax.adam(0.01)

    def step(carry, key):
        params, moments = carry
        reals, fakes = 0.5 * jax.random.normal(key, (2, 512, 1, 1, 1))
        batch = {"reals": reals + 1, "fakes": fakes, "labels": None}
        gradients, _ = jax.grad(d_loss, has_aux=True)(
            params, {}, None, state.w_avg, batch
        )
        updates, moments = adam.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments), None

    keys = jax.random.split(jax.random.key(1), 800)
    start = (state.d_params, adam.init(state.d_params))
    (params, _), _ = jax.jit(lambda start: jax.lax.scan(step, start, keys))(start)
    x = np.linspace(-0.5, 1.5, 41)
    _, logits = points._apply(tiny.generator(model), params, jnp.zeros(1), x)
    expected = 1 / (1 + np.exp(2 - 4 * x))
    best = points.best_scores(normal(x, 1, 0.5), normal(x, 0, 0.5))
    np.testing.assert_allclose(best, expected, rtol=1e-9)
    np.testing.assert_allclose(jax.nn.sigmoid(logits), expected, atol=0.05)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "line"
    saved = {160: {"resolution": 1, "alpha": None}}
    return tiny.start_run(
        path,
        MODEL,
        saved,
        data=LINE,
        schedule=dataclasses.replace(tiny.ring().schedule, d_steps=5),
    )


def test_a_moment_has_the_networks_of_its_checkpoint(line):
    first, last = points.moments(line, 9)
    # Minibatches of eight, five of D for one of G.
    assert (first.step, last.step) == ("step 0", "step 4")
    trained = tiny.state(MODEL)
    source = points._points(line, 1)[0]
    theory = points.theory_of(last, source, (-1, 3))
    raw = dataclasses.replace(tiny.generator(MODEL), params=trained.g_params)
    places = raw.sample(jnp.asarray(theory.latents)[:, None], psi=1.0)
    np.testing.assert_allclose(theory.places, places[:, 0, 0, 0], rtol=1e-5)
    samples = np.asarray(
        points._draw(raw, np.random.RandomState(1).randn(40_000, 1).astype("f"))
    )
    inside = np.abs(samples - 1).max(axis=1) < 2
    width = theory.x[1] - theory.x[0]
    np.testing.assert_allclose(theory.p_g.sum() * width, inside.mean(), atol=0.01)
    np.testing.assert_allclose(theory.p_data.sum() * width, 1, atol=1e-3)
    seen = theory.p_data + theory.p_g > 0.01
    expected = theory.p_data[seen] / (theory.p_data[seen] + theory.p_g[seen])
    np.testing.assert_allclose(theory.best[seen], expected, rtol=1e-6)


def test_the_film_has_a_frame_for_each_moment(line):
    film = points.theory(line)
    frames = list(film.frames)
    assert film.count == len(frames) == 2
    assert frames[0].shape == frames[1].shape and (frames[0] != frames[1]).any()
    assert film.strip.shape[1] > frames[0].shape[1] / 2


points_of = functools.partial(points.moments, count=2)


def test_modes_are_a_row_for_each_run(line, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plots, "panels", lambda pictures, **options: drawn.update(options, of=pictures)
    )
    points.modes([line, line], count=2)
    assert drawn["row_labels"] == ["line", "line"]
    titles = [title for title, _ in drawn["of"]]
    assert titles == 2 * ["step 0", "step 4", "data"]
    assert drawn["of"][1][1].shape == (8_000, 1)
    kept = iter([2, 1])
    monkeypatch.setattr(points, "moments", lambda *_: points_of(line)[: next(kept)])
    with pytest.raises(UserError, match="at most 1 `columns` can be drawn of all"):
        points.modes([line, line], count=2)


def test_runs_that_have_no_theory_are_refused(line, tmp_path):
    saved = {160: {"resolution": 1, "alpha": None}}
    plane = tiny.start_run(
        tmp_path / "plane", tiny.POINTS, saved, data=tiny.ring().data
    )
    with pytest.raises(UserError, match="trained on ring; this figure is of data on"):
        points.theory(plane)
    model = dataclasses.replace(MODEL, z_dim=6, w_dim=6)
    wide = tiny.start_run(tmp_path / "wide", model, saved, data=LINE)
    with pytest.raises(UserError, match="latents of 6 numbers"):
        points.theory(wide)


def test_points_may_be_held_out(tmp_path):
    data = dataclasses.replace(LINE, holdout=0.1, points_size=100)
    run = tiny.start_run(tmp_path / "held", MODEL, {}, data=data)
    source, _ = points._points(run, 1)
    assert len(source) == 100 and source.centers.tolist() == [[1]]
    assert isinstance(coverage.open_data(run, None), Points)
