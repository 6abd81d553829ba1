"""Morphing, mixing and sums of codes, against the same in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing import arithmetic, interpolate, mixing
from stylegan_jax.errors import UserError


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_morph_begins_and_ends_with_the_given_codes(codes):
    first, second, _ = codes
    frames = interpolate.morph(first, second, jnp.array([0.0, 0.25, 1.0]))
    same(frames[0:1], first)
    same(frames[2:3], second)
    expected = 0.75 * np.float64(first.ws) + 0.25 * np.float64(second.ws)
    np.testing.assert_allclose(frames.ws[1:2], expected, rtol=1e-5, atol=1e-6)
    noise = 0.75 * np.float64(first.noise[4]) + 0.25 * np.float64(second.noise[4])
    np.testing.assert_allclose(frames.noise[4][1:2], noise, rtol=1e-5, atol=1e-6)


def test_input_latents_turn_at_an_even_pace_and_change_their_length_evenly():
    a, b = np.eye(3, dtype="f")[[0]] * 2, np.eye(3, dtype="f")[[1]] * 4
    z = interpolate.morph_z(a, b, np.array([0.0, 1 / 3, 1.0]))
    third = 2 + 2 / 3  # the length; the angle is a third of 90 degrees
    expected = [[2, 0, 0], [third * np.sqrt(3) / 2, third / 2, 0], [0, 4, 0]]
    np.testing.assert_allclose(z, expected, atol=1e-5)


def test_a_film_stops_at_every_code():
    plain = interpolate.stops(3, 4, ease=False)
    np.testing.assert_allclose(plain, [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2])
    eased = interpolate.stops(2, 4)
    np.testing.assert_allclose(eased, [0, 0.15625, 0.5, 0.84375, 1])
    loop = interpolate.stops(2, 2, ease=False, loop=True)
    np.testing.assert_allclose(loop, [0, 0.5, 1, 1.5])


def test_mixing_takes_the_rows_that_were_asked_for_and_no_noise(codes):
    first, second, _ = codes
    mixed = mixing.mix(first, second, [1, 4])
    expected = np.array(first.ws)
    expected[:, [1, 4]] = np.array(second.ws)[:, [1, 4]]
    np.testing.assert_array_equal(mixed.ws, expected)
    same(mixed.noise, first.noise)
    same(mixing.mix(first, second, []), first)
    np.testing.assert_array_equal(mixing.mix(first, second, range(6)).ws, second.ws)


def test_one_content_goes_with_many_styles(codes):
    first, second, third = codes
    styles = jax.tree.map(lambda *x: jnp.concatenate(x), second, third)
    mixed = mixing.mix(first, styles, [5])
    assert len(mixed) == 2 and mixed.noise[5].shape[0] == 2
    same(mixed[1:2], mixing.mix(first, third, [5]))


def test_style_transfer_keeps_the_first_half_of_the_content(codes):
    first, second, _ = codes
    mixed = mixing.transfer_style(first, second)
    np.testing.assert_array_equal(mixed.ws[:, :3], first.ws[:, :3])
    np.testing.assert_array_equal(mixed.ws[:, 3:], second.ws[:, 3:])


def test_an_expression_is_added_where_it_is_longer_than_the_threshold(codes):
    subject, neutral, expressive = codes
    change = np.float64(expressive.ws) - np.float64(neutral.ws)
    norms = np.sqrt((change**2).sum(-1))[0]
    threshold = float(np.sort(norms)[2:4].mean())  # between the third and the fourth
    moved = arithmetic.transfer_expression(subject, neutral, expressive, 0.7, threshold)
    expected = np.float64(subject.ws)
    for row in range(6):
        if norms[row] >= threshold:
            expected[0, row] += 0.7 * change[0, row]
    np.testing.assert_allclose(moved.ws, expected, rtol=1e-5, atol=1e-6)
    unmoved = norms < threshold
    assert unmoved.sum() == 3
    np.testing.assert_array_equal(moved.ws[:, unmoved], subject.ws[:, unmoved])
    same(moved.noise, subject.noise)


def test_scaling_moves_rows_away_from_the_mean(codes, generator):
    code = codes[0]
    scaled = arithmetic.scale_style(code, generator.w_avg, 1.5, (0, 5))
    expected = np.float64(code.ws)
    expected[:, [0, 5]] = 0.5 + 1.5 * (expected[:, [0, 5]] - 0.5)
    np.testing.assert_allclose(scaled.ws, expected, rtol=1e-5, atol=1e-6)
    mean = arithmetic.scale_style(code, generator.w_avg, 0.0, range(6))
    np.testing.assert_allclose(mean.ws, 0.5, atol=1e-6)


def test_morphs_between_one_seed_and_itself_are_that_seed():
    z = jnp.asarray(np.random.RandomState(0).randn(1, 6), jnp.float32)
    found = interpolate.morph_z(z, z, np.linspace(0, 1, 5))
    np.testing.assert_allclose(found, np.broadcast_to(z, (5, 6)), atol=1e-5)
    assert jnp.isfinite(interpolate.morph_z(z, -z, np.linspace(0, 1, 5))).all()


def test_codes_of_different_networks_do_not_go_together(codes):
    first = codes[0]
    other = first.replace(ws=jnp.zeros((1, 4, 6)))
    for call in (
        lambda: mixing.mix(first, other, [0]),
        lambda: interpolate.morph(first, other, [0.5]),
        lambda: arithmetic.difference(first, other),
        lambda: arithmetic.transfer_expression(other, first, first),
    ):
        with pytest.raises(UserError, match=r"w codes of shape .* are not \[N, "):
            call()
    with pytest.raises(UserError, match=r"are not \[N, L, 7\]"):
        arithmetic.scale_style(first, jnp.zeros(7), 2.0, [0])
