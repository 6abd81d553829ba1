"""Features of one image in another, at every kind of combination."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing import masks, mixing
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import draw

OWN, OTHER = np.random.RandomState(0).randn(2, 2, 4, 4, 8).astype("f")


@pytest.fixture(scope="module")
def parts(generator):
    """Features after four layers, and what the rest of the network makes of some."""
    features = jax.jit(partial(generator.features, layers=4))
    finish = jax.jit(partial(generator.finish, layers=4))
    return features, finish


def test_features_come_from_the_donor_and_the_rest_from_the_image(
    generator, codes, parts
):
    first, second, _ = codes
    features, finish = parts

    @jax.jit
    def transfer(mask, share):
        combine = mixing.copy_inside(mask)
        return mixing.transfer(generator, first, second, combine, share=share)

    plain = jax.jit(draw)(generator, first)
    nothing = transfer(jnp.zeros((1, 16, 16, 1)), 0.0)
    np.testing.assert_allclose(nothing, plain, atol=1e-5)
    donor = features(second.ws, second.noise)
    for share in (0.0, 0.25):
        image = transfer(jnp.ones((1, 16, 16, 1)), share)
        # Latents and noise behind the features are the first image's.
        ws = (1 - share) * first.ws + share * second.ws
        np.testing.assert_allclose(image, finish(donor, ws, first.noise), atol=1e-4)
        assert np.abs(image - plain).max() > 0.1


def test_a_mask_chooses_pixels_of_the_features():
    mask = masks.box(16, 0.5, 0.0, 1.0, 0.25)
    expected = OWN.copy()
    expected[:, :1, 2:] = OTHER[:, :1, 2:]
    np.testing.assert_array_equal(mixing.copy_inside(mask)(OWN, OTHER), expected)


def test_features_are_averaged_and_channels_copied():
    actual = mixing.average(0.25)(OWN, OTHER)
    np.testing.assert_allclose(actual, 0.75 * OWN + 0.25 * OTHER, rtol=1e-5)
    expected = OWN.copy()
    expected[..., [0, 5]] = OTHER[..., [0, 5]]
    actual = mixing.copy_channels([5, 0])(OWN, OTHER)
    np.testing.assert_array_equal(actual, expected)
    with pytest.raises(UserError, match=r"channels \[3, 8\] are not some of 0 to 7"):
        mixing.copy_channels([3, 8])(OWN, OTHER)


def test_a_masked_morph_starts_at_the_first_image(generator, codes, parts):
    first, second, _ = codes
    features, finish = parts
    mask, t = masks.part("left", 16), jnp.array([0.0, 1.0])
    frames = jax.jit(mixing.masked_morph)(generator, first, second, mask, t)
    plain = jax.jit(draw)(generator, first)
    np.testing.assert_allclose(frames[:1], plain, atol=1e-5)
    # At the end the features inside are those of the second code, in the first's noise.
    inside = features(second.ws, first.noise)
    outside = features(first.ws, first.noise)
    mixed = np.concatenate([inside[:, :, :4], outside[:, :, 4:]], axis=2)
    expected = finish(jnp.asarray(mixed), second.ws, first.noise)
    np.testing.assert_allclose(frames[1:], expected, atol=1e-4)
