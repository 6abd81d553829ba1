"""Path lengths, separability and missing corners of latents in the plane."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.figures import mapping_grids
from tests import tiny

MATRIX = np.array([[1.0, 0.5], [-0.25, 2.0]])
SAVED = {160: {"resolution": 1, "alpha": None}}
MODEL = dataclasses.replace(tiny.POINTS, z_dim=2, w_dim=2, normalize_z=False)


@pytest.fixture(scope="module")
def curved():
    """w = z + 0.3 z^2, points = w MATRIX + 0.1 w^2, squares by coordinate."""

    def map_z(z):
        return (z + 0.3 * z**2)[:, None]

    def synthesize(ws):
        w = ws[:, 0]
        return (w @ jnp.float32(MATRIX) + 0.1 * w**2)[:, None, None]

    config = types.SimpleNamespace(z_dim=2)
    return types.SimpleNamespace(config=config, map=map_z, synthesize=synthesize)


@pytest.mark.parametrize("space", ["z", "w"])
def test_path_lengths_are_squared_speeds_on_straight_lines(curved, space):
    found = mapping_grids.latent_space(curved, space, count=500)
    keys = jax.random.split(jax.random.key(0), 3)
    z0, z1 = (np.asarray(jax.random.normal(key, (500, 2)), float) for key in keys[:2])
    t = np.asarray(jax.random.uniform(keys[2], (500,)), float)[:, None]
    if space == "z":
        z = z0 + t * (z1 - z0)
        w, along = z + 0.3 * z**2, (1 + 0.6 * z) * (z1 - z0)
    else:
        w0, w1 = z0 + 0.3 * z0**2, z1 + 0.3 * z1**2
        w, along = w0 + t * (w1 - w0), w1 - w0
    squares = np.sort(np.sum((along @ MATRIX + 0.2 * w * along) ** 2, axis=1))
    # Of 500 values the 1st and 99th percentiles are the 5th from either end.
    np.testing.assert_allclose(found.path, squares[4:-4].mean(), rtol=0.02)
    latents = z0 if space == "z" else z0 + 0.3 * z0**2
    np.testing.assert_allclose(found.latents, latents, rtol=1e-5, atol=1e-6)
    w0 = z0 + 0.3 * z0**2
    drawn = w0 @ MATRIX + 0.1 * w0**2
    np.testing.assert_allclose(found.points, drawn, rtol=1e-4, atol=1e-5)
    assert found.missing == pytest.approx(np.mean((drawn > 0).all(axis=1)))


def test_factors_that_are_latents_are_separated_and_mixed_ones_are_not():
    def space(mix):
        made = types.SimpleNamespace(
            config=types.SimpleNamespace(z_dim=2),
            map=lambda z: z[:, None],
            synthesize=lambda ws: mix(ws[:, 0])[:, None, None],
        )
        return mapping_grids.latent_space(made, "w", count=2000).separability

    assert space(lambda w: w) < 1.05
    # The sign of a product is no plane's: one bit, or a factor of two.
    assert 1.8 < space(lambda w: jnp.stack([w[:, 0], w[:, 0] * w[:, 1]], 1)) < 2.1


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    data = DataConfig(name="corner", num_channels=2, points_size=1000)
    folder = tmp_path_factory.mktemp("runs")
    mapped = dataclasses.replace(MODEL, mapping_layers=1)
    return [
        tiny.start_run(folder / name, model, SAVED, data=data)
        for name, model in (("mapping", mapped), ("plain", MODEL))
    ]


def test_the_figure_shows_the_data_and_three_spaces(runs):
    figure = mapping_grids.disentanglement(*runs)
    assert figure.dtype == np.uint8 and figure.std() > 10
    assert figure.shape[1] > 3 * figure.shape[0]


def test_runs_that_do_not_go_together_are_refused(runs, tmp_path):
    with pytest.raises(UserError, match=r"plain has 0 mapping layers and .* 1; give"):
        mapping_grids.spaces(*runs[::-1])
    ring = tiny.start_run(tmp_path / "ring", tiny.POINTS, SAVED, data=tiny.ring().data)
    with pytest.raises(UserError, match="trained on ring; the figure is of two runs"):
        mapping_grids.spaces(ring, runs[1])
