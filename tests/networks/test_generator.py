import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.training.ablation import configured
from stylegan_jax.training.config import Config
from tests import tiny

CONFIG = dataclasses.replace(tiny.MODEL, w_dim=5, mapping_width=7)


@functools.cache
def generator():
    return tiny.generator(CONFIG).replace(w_avg=jnp.linspace(-1, 1, 5))


def latents(count=3):
    return np.random.RandomState(0).randn(count, 6).astype("f")


def test_map_gives_every_layer_the_same_w():
    ws = generator().map(latents())
    assert ws.shape == (3, 6, 5)
    np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], ws.shape))


def test_sample_is_map_truncate_and_synthesize():
    ws = np.array(generator().map(latents()))
    mean = np.linspace(-1, 1, 5)
    ws[:, :4] = mean + 0.7 * (ws[:, :4] - mean)
    expected = generator().synthesize(jnp.asarray(ws))
    actual = generator().sample(latents(), psi=0.7, cutoff=4)
    assert actual.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_psi_zero_gives_everyone_the_mean_face():
    images = generator().sample(latents(), psi=0.0, cutoff=None)
    np.testing.assert_allclose(images[1:], images[:-1], atol=1e-6)


def test_psi_one_or_no_mean_is_no_truncation():
    plain = generator().synthesize(generator().map(latents()))
    images = generator().sample(latents(), psi=1.0)
    np.testing.assert_allclose(images, plain, atol=1e-5)
    images = generator().replace(w_avg=None).sample(latents(), psi=0.0)
    np.testing.assert_allclose(images, plain, atol=1e-5)


@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_configurations_without_styles_are_not_truncated(letter):
    config = Config(model=dataclasses.replace(CONFIG, w_dim=6))
    config = configured(config, letter).model
    made = tiny.generator(config)
    by_default, plain = (made.sample(latents(), **x) for x in ({}, {"psi": 1.0}))
    same = np.allclose(by_default, plain, atol=1e-5)
    assert same == (made.truncation_mean is None) == (letter in "ab")


def test_a_growing_generator_blends_its_last_two_resolutions():
    ws = generator().map(latents())
    coarse = generator().replace(resolution=4).synthesize(ws)
    fine = generator().replace(resolution=8).synthesize(ws)
    growing = generator().replace(resolution=8, alpha=jnp.float32(0.25))
    coarse = np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2)
    expected = 0.75 * coarse + 0.25 * fine
    np.testing.assert_allclose(growing.synthesize(ws), expected, atol=1e-5)
    noise = growing.draw_noise(jax.random.key(0), 3)
    assert [n.shape for n in noise] == [(3, s, s, 1) for s in (4, 4, 8, 8)]


def test_fresh_noise_replaces_the_stored_one():
    noisy = generator()
    noise = noisy.draw_noise(jax.random.key(3), 3)
    stored = noisy.sample(latents())
    fresh = noisy.sample(latents(), noise=noise)
    assert np.abs(fresh - stored).max() > 0.01
    np.testing.assert_array_equal(stored, noisy.sample(latents(), noise=noisy.noise))


@pytest.mark.thorough
def test_a_generator_goes_through_jit_and_vmap_as_an_argument():
    plain = generator().sample(latents())
    jitted = jax.jit(lambda g, z: g.sample(z))(generator(), latents())
    np.testing.assert_allclose(jitted, plain, atol=1e-5)
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), generator())
    both = jax.vmap(lambda g: g.sample(latents()))(stacked)
    np.testing.assert_allclose(both[0], plain, atol=1e-5)
    assert np.abs(both[1] - plain).max() > 0.01


@pytest.mark.thorough
def test_an_image_does_not_depend_on_its_batch():
    together = generator().sample(latents(3))
    alone = generator().sample(latents(3)[1:2])
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


def test_wrong_inputs_are_refused_with_what_is_wanted():
    with pytest.raises(ValueError, match=r"z has shape \(3, 4\), not \[N, 6\]"):
        generator().sample(np.zeros((3, 4), "f"))
    with pytest.raises(ValueError, match=r"labels have shape \(3, 2\), not \(3, 0\)"):
        generator().sample(latents(), labels=np.zeros((3, 2), "f"))
    conditional = tiny.generator(dataclasses.replace(CONFIG, label_size=2))
    with pytest.raises(ValueError, match="pass labels of shape"):
        conditional.sample(latents())
    labels = np.eye(2, dtype="f")[[0, 1, 1]]
    assert conditional.sample(latents(), labels=labels).shape == (3, 16, 16, 3)


@pytest.mark.parametrize("shape", [(6, 5), (3, 5), (5,), (1, 18, 5), (2, 6, 9)])
def test_codes_of_another_shape_are_refused_also_under_jit(shape):
    ws = np.zeros(shape, "f")
    for call in (
        generator().synthesize,
        jax.jit(lambda ws: generator().synthesize(ws)),
        lambda ws: generator().features(ws, layers=2),
        lambda ws: jax.eval_shape(generator().synthesize, ws),
    ):
        with pytest.raises(UserError, match=r"are not \[N, 6, 5\]"):
            call(ws)


def test_noise_of_another_shape_is_refused():
    ws = np.zeros((2, 6, 5), "f")
    good = generator().draw_noise(jax.random.key(0), 2)
    assert jax.eval_shape(generator().synthesize, ws, good).shape == (2, 16, 16, 3)
    assert jax.eval_shape(generator().synthesize, ws, generator().noise)
    for noise in (good[:-1], good[::-1], tuple(n[..., 0] for n in good), ()):
        with pytest.raises(UserError, match="noise of shapes"):
            generator().synthesize(ws, noise)
    with pytest.raises(UserError, match="noise of shapes"):
        generator().synthesize(np.zeros((3, 6, 5), "f"), good)


def test_a_generator_is_shown_in_a_line():
    text = repr(generator())
    assert len(text) < 500 and "\n" not in text and "Array" not in text
    assert "w_avg=float32[5]" in text and "resolution=16" in text
    numbers = sum(x.size for x in jax.tree.leaves(generator().params))
    assert f"{numbers:,} numbers" in text
    assert "z_dim=6" in text and "const_input" not in text  # what is not a default
