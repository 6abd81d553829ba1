"""Noise of inverted images under edits."""

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.editing.fading import FULL, fade_noise
from stylegan_jax.inversion.code import Code, draw, stored_noise
from tests import tiny


def fitted(generator, count=2):
    noise = stored_noise(generator, count)
    shifted = [x + 1 + i for i, x in enumerate(noise)]
    ws = generator.map(np.random.RandomState(0).randn(count, 6).astype("f"))
    return Code(ws, tuple(shifted))


def test_noise_goes_back_to_the_stored_where_the_picture_changes():
    generator = tiny.generator(tiny.MODEL_8)
    before = fitted(generator)
    ws = before.ws.at[1].add(0.4)
    found = jax.device_get(fade_noise(generator, before, ws))
    np.testing.assert_array_equal(found.ws, ws)
    own = stored_noise(generator, 2)
    drawn = [np.asarray(draw(generator, Code(x, own)), "f8") for x in (before.ws, ws)]
    change = np.abs(drawn[1] - drawn[0]).max(-1) / 2
    mask = change.reshape(2, 4, 2, 4, 2).mean((2, 4)) / FULL
    assert 0 < mask[1].min() < 1  # the formula matters, not only its bounds
    mask = np.clip(mask, 0, 1)
    for layer in (0, 1):  # 4 px, the size of the mask
        expected = before.noise[layer][..., 0] - (1 + layer) * mask
        np.testing.assert_allclose(found.noise[layer][..., 0], expected, atol=1e-4)
    for kept, got in zip(before.noise, found.noise, strict=True):
        np.testing.assert_array_equal(got[0], kept[0])  # nothing moved there
    # At 8 px between the centres of the mask's pixels, as linear interpolation has it.
    rows = np.array([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    low = np.minimum(rows.astype(int), 2)
    part = rows - low
    along = mask[1][low] * (1 - part)[:, None] + mask[1][low + 1] * part[:, None]
    both = along[:, low] * (1 - part) + along[:, low + 1] * part
    np.testing.assert_allclose(
        found.noise[2][1, ..., 0], before.noise[2][1, ..., 0] - 3 * both, atol=1e-4
    )


def test_stored_noise_stays_bit_for_bit():
    generator = tiny.generator(tiny.MODEL_8)
    code = Code(fitted(generator).ws, stored_noise(generator, 2))
    found = fade_noise(generator, code, code.ws + 1)
    for kept, got in zip(code.noise, found.noise, strict=True):
        np.testing.assert_array_equal(got, kept)
    without = Code(code.ws, ())
    assert fade_noise(generator, without, jnp.zeros_like(code.ws)).noise == ()
