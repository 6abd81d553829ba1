"""Mixing, morphing and sums of codes, against the same in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing import mixing
from stylegan_jax.errors import UserError


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_morph_begins_and_ends_with_the_given_codes(codes):
    first, second, _ = codes
    frames = mixing.morph(first, second, jnp.array([0.0, 0.25, 1.0]))
    same(frames[0:1], first)
    same(frames[2:3], second)
    for a, b, found in zip(*map(jax.tree.leaves, (first, second, frames)), strict=True):
        expected = 0.75 * np.float64(a) + 0.25 * np.float64(b)
        np.testing.assert_allclose(found[1:2], expected, rtol=1e-5, atol=1e-6)


def test_input_latents_turn_at_an_even_pace_and_change_their_length_evenly():
    morph_z, t = jax.jit(mixing.morph_z), np.array([0.0, 1 / 3, 1.0])
    a, b = np.eye(3, dtype="f")[[0]] * 2, np.eye(3, dtype="f")[[1]] * 4
    third = 2 + 2 / 3  # the length; the angle is a third of 90 degrees
    expected = [[2, 0, 0], [third * np.sqrt(3) / 2, third / 2, 0], [0, 4, 0]]
    np.testing.assert_allclose(morph_z(a, b, t), expected, atol=1e-5)
    np.testing.assert_allclose(morph_z(b, b, t), b.repeat(3, 0), atol=1e-5)
    assert np.isfinite(morph_z(b, -b, t)).all()


def test_a_film_stops_at_every_code():
    for options, expected in [
        ((3, 4, False, False), [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]),
        ((2, 4, True, False), [0, 0.15625, 0.5, 0.84375, 1]),
        ((2, 2, False, True), [0, 0.5, 1, 1.5]),
    ]:
        count, frames, ease, loop = options
        found = mixing.stops(count, frames, ease=ease, loop=loop)
        np.testing.assert_allclose(found, expected)


def test_mixing_takes_the_rows_that_were_asked_for_and_no_noise(codes):
    first, second, third = codes
    mixed = mixing.mix(first, second, [1, 4])
    expected = np.array(first.ws)
    expected[:, [1, 4]] = np.array(second.ws)[:, [1, 4]]
    np.testing.assert_array_equal(mixed.ws, expected)
    same(mixed.noise, first.noise)
    same(mixing.mix(first, second, []), first)
    np.testing.assert_array_equal(mixing.mix(first, second, range(6)).ws, second.ws)
    # One content goes with many styles.
    many = mixing.mix(first, mixing.concatenate([second, third]), [5])
    assert len(many) == 2 and many.noise[5].shape[0] == 2
    same(many[1:2], mixing.mix(first, third, [5]))


def test_an_expression_is_added_where_it_is_longer_than_the_threshold(codes):
    subject, neutral, expressive = codes
    change = np.float64(expressive.ws) - np.float64(neutral.ws)
    norms = np.sqrt((change**2).sum(-1))[0]
    threshold = float(np.sort(norms)[2:4].mean())  # between the third and the fourth
    moved = mixing.transfer_expression(subject, neutral, expressive, 0.7, threshold)
    far = norms >= threshold
    assert far.sum() == 3
    expected = np.float64(subject.ws) + 0.7 * change * far[:, None]
    np.testing.assert_allclose(moved.ws, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(moved.ws[:, ~far], subject.ws[:, ~far])
    same(moved.noise, subject.noise)


def test_scaling_moves_rows_away_from_the_mean(codes, generator):
    code, mean = codes[0], np.float64(generator.w_avg)
    scaled = mixing.scale_style(code, generator.w_avg, 1.5, (0, 5))
    expected = np.float64(code.ws)
    expected[:, [0, 5]] = mean + 1.5 * (expected[:, [0, 5]] - mean)
    np.testing.assert_allclose(scaled.ws, expected, rtol=1e-5, atol=1e-6)
    middle = mixing.scale_style(code, generator.w_avg, 0.0, range(6))
    np.testing.assert_allclose(middle.ws, mean[None, None].repeat(6, 1), atol=1e-6)


def test_codes_of_different_networks_do_not_go_together(codes):
    first = codes[0]
    other = first.replace(ws=jnp.zeros((1, 4, 6)))
    for call in (
        lambda: mixing.mix(first, other, [0]),
        lambda: mixing.morph(first, other, [0.5]),
        lambda: mixing.difference(first, other),
        lambda: mixing.transfer_expression(other, first, first),
    ):
        with pytest.raises(UserError, match=r"w codes of shape .* are not \[N, "):
            call()
    with pytest.raises(UserError, match=r"are not \[N, L, 7\]"):
        mixing.scale_style(first, jnp.zeros(7), 2.0, [0])
