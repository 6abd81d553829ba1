"""Features of one image in another, at every kind of combination."""

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing import activations, masks
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import draw

OWN, OTHER = np.random.RandomState(0).randn(2, 2, 4, 4, 8).astype("f")


def test_features_come_from_the_donor_and_the_rest_from_the_image(generator, codes):
    first, second, _ = codes
    plain = np.asarray(draw(generator, first))
    nothing = activations.copy_inside(jnp.zeros((1, 16, 16, 1)))
    image = activations.transfer(generator, first, second, nothing, layers=3)
    np.testing.assert_array_equal(image, plain)
    everything = activations.copy_inside(jnp.ones((1, 16, 16, 1)))
    donor = generator.features(second.ws, second.noise, layers=4)
    for share in (0.0, 0.25):
        image = activations.transfer(
            generator, first, second, everything, layers=4, share=share
        )
        # Latents and noise behind the features are the first image's.
        ws = (1 - share) * first.ws + share * second.ws
        expected = generator.finish(donor, ws, first.noise, layers=4)
        np.testing.assert_allclose(image, expected, atol=1e-4)
        assert np.abs(image - plain).max() > 0.1


def test_a_mask_chooses_pixels_of_the_features():
    mask = masks.box(16, 0.5, 0.0, 1.0, 0.25)
    expected = OWN.copy()
    expected[:, :1, 2:] = OTHER[:, :1, 2:]
    np.testing.assert_array_equal(activations.copy_inside(mask)(OWN, OTHER), expected)
    one, two = masks.part("left", 4), masks.part("top", 4)  # they overlap
    actual = activations.attribute(one, two)(OWN, OTHER)
    np.testing.assert_allclose(actual, OWN * one + OTHER * (1 - two), rtol=1e-6)


def test_features_are_averaged_and_channels_copied():
    actual = activations.average(0.25)(OWN, OTHER)
    np.testing.assert_allclose(actual, 0.75 * OWN + 0.25 * OTHER, rtol=1e-5)
    expected = OWN.copy()
    expected[..., [0, 5]] = OTHER[..., [0, 5]]
    actual = activations.copy_channels([5, 0])(OWN, OTHER)
    np.testing.assert_array_equal(actual, expected)
    with pytest.raises(UserError, match="channel 8 is not one of the 8"):
        activations.copy_channels([3, 8])(OWN, OTHER)


def test_a_masked_morph_starts_at_the_first_image(generator, codes):
    first, second, _ = codes
    mask, t = masks.part("left", 16), jnp.array([0.0, 1.0])
    frames = activations.masked_morph(generator, first, second, mask, t, layers=4)
    np.testing.assert_allclose(frames[:1], draw(generator, first), atol=1e-5)
    # At the end the features inside are those of the second code, in the first's noise.
    inside = generator.features(second.ws, first.noise, layers=4)
    outside = generator.features(first.ws, first.noise, layers=4)
    mixed = np.concatenate([inside[:, :, :4], outside[:, :, 4:]], axis=2)
    expected = generator.finish(jnp.asarray(mixed), second.ws, first.noise, layers=4)
    np.testing.assert_allclose(frames[1:], expected, atol=1e-4)
