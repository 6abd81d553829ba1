"""Stopping the synthesis network between two layers, and going on from there."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny

CONFIG = dataclasses.replace(tiny.MODEL, w_dim=5, mapping_width=7)
SIZES = [(4, 8), (4, 8), (8, 8), (8, 8), (16, 8), (16, 8)]  # pixels, channels


@functools.cache
def generator():
    return tiny.generator(CONFIG)


@functools.cache
def inputs():
    ws = np.random.RandomState(0).randn(2, 6, 5).astype("f")
    return jnp.asarray(ws), generator().draw_noise(jax.random.key(1), 2)


@pytest.mark.thorough
@pytest.mark.parametrize("layers", range(1, 7))
def test_features_and_finish_are_synthesize_bit_by_bit(layers):
    ws, noise = inputs()
    whole = generator().synthesize(ws, noise)
    features = generator().features(ws, noise, layers=layers)
    size, channels = SIZES[layers - 1]
    assert features.shape == (2, size, size, channels)
    # Rows and noise of the other half have no say in either.
    before = jnp.arange(6)[None, :, None] < layers
    first, last = jnp.where(before, ws, 9.0), jnp.where(before, 9.0, ws)
    quiet = [jnp.zeros_like(n) for n in noise]
    early = (*noise[:layers], *quiet[layers:])
    late = (*quiet[:layers], *noise[layers:])
    np.testing.assert_array_equal(
        generator().features(first, early, layers=layers), features
    )
    finished = generator().finish(features, last, late, layers=layers)
    np.testing.assert_array_equal(finished, whole)


@pytest.mark.thorough
def test_networks_that_fade_or_recompute_stop_and_go_on_as_well():
    ws, noise = inputs()
    fading = generator().replace(alpha=jnp.float32(0.3))
    features = fading.features(ws, noise, layers=4)
    finished = fading.finish(features, ws, noise, layers=4)
    np.testing.assert_array_equal(finished, fading.synthesize(ws, noise))
    frugal = generator().replace(config=dataclasses.replace(CONFIG, remat=True))
    features = frugal.features(ws, noise, layers=3)
    finished = frugal.finish(features, ws, noise, layers=3)
    np.testing.assert_allclose(finished, generator().synthesize(ws, noise), atol=1e-5)
    with pytest.raises(ValueError, match="at most the first 4 layers"):
        fading.finish(jnp.zeros((2, 16, 16, 8)), ws, noise, layers=5)


def test_layers_that_there_are_not_and_wrong_features_are_refused():
    ws, noise = inputs()
    for layers in (0, 7):
        with pytest.raises(ValueError, match=f"0 to {layers} are asked for.* has 6"):
            generator().features(ws, noise, layers=layers)
    with pytest.raises(ValueError, match=r"after 3 layers are \(2, 8, 8, 8\), not"):
        generator().finish(jnp.zeros((2, 4, 4, 8)), ws, noise, layers=3)
    config = dataclasses.replace(
        CONFIG, mlp_layers=1, use_styles=False, use_noise=False
    )
    perceptron = tiny.generator(config)
    with pytest.raises(ValueError, match="no layers to stop at"):
        perceptron.features(ws[:, :1], layers=1)
