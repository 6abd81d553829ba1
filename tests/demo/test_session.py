"""What the page draws is what the network draws when it is asked directly."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from stylegan_jax.demo import session as demo_session
from stylegan_jax.demo.session import Sample, Session
from stylegan_jax.editing import directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.fading import fade_noise
from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from tests import tiny
from tests.demo.conftest import DIRECTIONS


def z_of(seed):
    return np.random.RandomState(seed).randn(1, 6).astype("f")


def same_picture(session, code, expected):
    """Within a level: programs differ in the last digits."""
    levels = images.to_uint8(np.asarray(expected))[0].astype(int)
    assert np.abs(session.draw(code).astype(int) - levels).max() <= 1


def test_samples_are_those_of_the_network(session, generator):
    code = session.code(Sample(7, psi=0.4))
    same_picture(session, code, generator.sample(z_of(7), psi=0.4))
    noise = generator.draw_noise(jax.random.key(5), 1)
    code = session.code(Sample(7, psi=0.4, noise_seed=5))
    same_picture(session, code, generator.sample(z_of(7), psi=0.4, noise=noise))
    other = session.code(Sample(7, psi=0.4, noise_seed=6))
    assert (session.draw(code) != session.draw(other)).any()


def test_truncation_stops_at_the_cutoff(session, generator, monkeypatch):
    assert demo_session.CUTOFF == 8
    monkeypatch.setattr(demo_session, "CUTOFF", 3)
    ws, mean = np.asarray(generator.map(z_of(7))), np.asarray(generator.w_avg)
    truncated = np.asarray(session.code(Sample(7, psi=0.25)).ws)
    expected = mean + 0.25 * (ws[:, :3] - mean)
    np.testing.assert_allclose(truncated[:, :3], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(truncated[:, 3:], ws[:, 3:], rtol=1e-5, atol=1e-6)


def test_sliders_are_steps_along_directions(session, generator):
    amounts = [1.5, -2.0, 3.0, 0.5, -0.5]
    z = directions.apply(z_of(3), DIRECTIONS[3], 0.5 * 1.5, distance="relative")
    ws = generator.map(z)
    mean = np.asarray(generator.w_avg)[None, None]
    ws = mean + 0.6 * (ws - mean)
    for i in (0, 1, 2, 4):
        step = amounts[i] * (DIRECTIONS[i].std or 1.0)
        ws = directions.apply(ws, DIRECTIONS[i], step, distance="relative")
    turned = session.turned(Sample(3, psi=0.6), amounts)
    np.testing.assert_allclose(turned.ws, ws, rtol=2e-5, atol=2e-5)


def test_sliders_turn_photographs_too_but_not_in_z(session):
    code = session.code(Sample(1))
    amounts = [0.0, 1.0, 0.0, 0.0, 0.0]
    moved = session.turned(code, amounts).ws - code.ws
    unit = DIRECTIONS[1].vector.astype("f")
    np.testing.assert_allclose(moved, np.tile(unit, (1, 4, 1)), atol=1e-5)
    with pytest.raises(UserError, match="'pose' is in z"):
        session.turned(code, [0, 0, 0, 1, 0])
    with pytest.raises(UserError, match="2 amounts for 5"):
        session.turned(code, [0, 0])


def test_fitted_noise_fades_and_that_of_samples_stays(session):
    amounts = [0.0, 1.0, 0.0, 0.0, 0.0]
    sample = Sample(1, noise_seed=5)
    code = session.code(sample)
    for kept, found in zip(
        code.noise, session.turned(sample, amounts).noise, strict=True
    ):
        np.testing.assert_array_equal(found, kept)
    expected = fade_noise(session.generator, code, session.turned(code, amounts).ws)
    faded = session.turned(code, amounts).noise
    assert any((x != y).any() for x, y in zip(faded, code.noise, strict=True))
    for x, y in zip(faded, expected.noise, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_mixing_takes_rows_and_keeps_the_noise(session):
    content, style = Sample(1, noise_seed=1), Sample(2, noise_seed=2)
    mixed = session.mix(content, style, [1, 3])
    a, b = session.code(content), session.code(style)
    expected = np.array(a.ws)
    expected[:, [1, 3]] = np.asarray(b.ws)[:, [1, 3]]
    np.testing.assert_array_equal(mixed.ws, expected)
    np.testing.assert_array_equal(mixed.noise[2], a.noise[2])


def test_morphs_are_on_the_line_between_codes(session):
    first, second = Sample(1, noise_seed=1), Sample(2, noise_seed=2)
    ends = session.code(first), session.code(second)
    line = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, *ends)
    found = session.morph(first, second, 0.25)
    chex.assert_trees_all_close(found, line, rtol=1e-5, atol=1e-6)


def test_the_plain_code_has_the_networks_noise(session, generator):
    plain = session.plain(Sample(1, noise_seed=4))
    np.testing.assert_array_equal(plain.ws, session.code(Sample(1)).ws)
    np.testing.assert_array_equal(plain.noise[3], generator.noise[3])


def test_pictures_of_samples_are_kept_for_a_while(session):
    sample = Sample(12, psi=0.3, noise_seed=4)
    before = session.picture(sample)
    np.testing.assert_array_equal(before, session.draw(session.code(sample)))
    assert session.picture(Sample(12, psi=0.3, noise_seed=4)) is before
    other = session.picture(Sample(12, psi=0.3, noise_seed=5))
    assert (other != before).any() and not before.flags.writeable
    np.testing.assert_array_equal(session.picture(session.code(sample)), before)
    assert session._drawn.cache_info().maxsize * 8 * 8 <= 1 << 24


def test_conditional_and_grey_networks_without_noise_are_served():
    other = {"label_size": 3, "num_channels": 1, "use_noise": False}
    generator = tiny.generator(dataclasses.replace(tiny.MODEL_8, **other))
    session = Session(generator)
    label = np.eye(3, dtype="f")[None, 2]
    code = session.code(Sample(4, psi=0.5, class_index=2))
    same_picture(session, code, generator.sample(z_of(4), labels=label, psi=0.5))
    assert (session.num_classes, session.has_noise) == (3, False)
    for wrong in (None, 3, -1):
        with pytest.raises(UserError, match="3 classes, 0 to 2"):
            session.code(Sample(4, class_index=wrong))


def test_what_does_not_belong_together_is_refused(session, generator):
    with pytest.raises(UserError, match="'x' has 5 dimensions and does not fit codes"):
        Session(generator, [Direction(name="x", vector=np.ones(5))])
    with pytest.raises(UserError, match="seed -1 is not"):
        session.code(Sample(-1))
