"""The guess of w: against NumPy's least squares, and whether it is a better start."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import spaces
from stylegan_jax.inversion.code import Code, draw_pictures
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import Recipe, Stage, Weights
from stylegan_jax.inversion.solver import Plan


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_it_is_the_least_squares_of_numpy(strength):
    random = np.random.RandomState(0)
    x, y = random.randn(50, 6) + 2, random.randn(50, 3)
    found = spaces.ridge(x, y, strength)
    # A penalty is as many more samples: sqrt(penalty) of each pixel, and w of 0.
    penalty = strength * x.var(0).mean()
    extra = np.eye(6) * np.sqrt(50 * penalty)
    columns = np.block([[x, np.ones((50, 1))], [extra, np.zeros((6, 1))]])
    solution = np.linalg.lstsq(columns, np.vstack([y, np.zeros((6, 3))]), rcond=None)
    np.testing.assert_allclose(found.weights, solution[0][:6], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.offset, solution[0][6], rtol=1e-5, atol=1e-6)


def test_images_are_shrunk_by_means_to_16_pixels():
    images = np.random.RandomState(0).rand(2, 64, 64, 3).astype("f")
    expected = images.reshape(2, 16, 4, 16, 4, 3).mean((2, 4)).reshape(2, 768)
    found = spaces.shrunk(jnp.asarray(images))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    small = 3 * images[:, :8, :8]
    expected = np.minimum(small, 1).reshape(2, 192)
    np.testing.assert_array_equal(spaces.shrunk(jnp.asarray(small)), expected)


def test_samples_are_images_of_their_latents(small):
    pixels, ws = spaces.samples(small, count=300)
    assert pixels.shape == (300, 48) and ws.shape == (300, 12)
    z = np.random.RandomState(123).randn(300, 6).astype("f")
    again = small.map(z)
    np.testing.assert_allclose(ws, again[:, 0], rtol=1e-4, atol=1e-5)
    # Noise aside, which is another for each image.
    drawn = small.synthesize(again, codes.stored_noise(small, 300))
    expected = np.asarray(spaces.shrunk(drawn))
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.5
    assert (np.abs(pixels - expected).max(1) > 1e-3).all()


@pytest.mark.thorough
def test_of_generated_images_the_guess_is_a_better_start_than_the_mean(small):
    z = np.random.RandomState(9).randn(16, 6).astype("f")
    secret = Code(small.map(z), codes.stored_noise(small, 16))
    pictures = list(draw_pictures(small, secret))
    pixels = Weights(perceptual=0.0)
    one = Stage(name="w", moves="latent", weights=pixels, plan=Plan(steps=1))
    loss = {}
    for start in ("mean", "regressed"):
        recipe = Recipe(stages=(one,), starts=(start,), noise="stored")
        steps = invert(small, pictures, recipe, batch_size=16)
        done = [one for step in steps for one in step.finished]
        assert {inversion.start for inversion in done} == {start}
        loss[start] = np.mean([i.stages[0].history[0] for i in done])
    assert loss["regressed"] < 0.6 * loss["mean"]


def test_every_row_begins_at_the_guess_of_w(small):
    guess = jnp.arange(24.0).reshape(2, 12)
    begin = functools.partial(
        spaces.start_latent,
        small,
        jax.random.split(jax.random.key(0), 2),
        start="regressed",
        statistics=spaces.Statistics(*[guess[0]] * 5),
        guesses={"regressed": guess[:, None]},
    )
    for space, rows in [("w", 1), ("w+", 4)]:
        expected = np.broadcast_to(guess[:, None], (2, rows, 12))
        np.testing.assert_array_equal(begin(space=space), expected)
    stages = (Stage(name="w", moves="latent"),)
    recipe = Recipe(stages=stages, starts=("regressed",), space="z+")
    with pytest.raises(UserError, match=r"spaces w and w\+, not z\+"):
        next(invert(small, [np.zeros((4, 4, 3), np.uint8)], recipe))
