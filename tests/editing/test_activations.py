"""Features of one image in another, at every kind of combination."""

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing import activations, masks
from stylegan_jax.inversion.code import draw


def test_an_empty_mask_leaves_the_image_as_it_is_bit_by_bit(generator, codes):
    first, second, _ = codes
    nothing = activations.copy_inside(jnp.zeros((1, 16, 16, 1)))
    image = activations.transfer(generator, first, second, nothing, layers=3)
    np.testing.assert_array_equal(image, draw(generator, first))


def test_a_full_mask_gives_the_features_of_the_donor(generator, codes):
    first, second, _ = codes
    seen = {}

    def look(own, other):
        everything = activations.copy_inside(jnp.ones((1, 16, 16, 1)))
        seen["other"], seen["result"] = other, everything(own, other)
        return seen["result"]

    image = activations.transfer(generator, first, second, look, layers=4)
    np.testing.assert_array_equal(seen["result"], seen["other"])
    donor = generator.features(second.ws, second.noise, layers=4)
    np.testing.assert_array_equal(seen["result"], donor)
    # Latents and noise behind them are the first image's.
    expected = generator.finish(donor, first.ws, first.noise, layers=4)
    np.testing.assert_array_equal(image, expected)
    assert np.abs(image - draw(generator, first)).max() > 0.1
    moved = activations.transfer(generator, first, second, look, layers=4, share=0.25)
    between = 0.75 * first.ws + 0.25 * second.ws
    expected = generator.finish(donor, between, first.noise, layers=4)
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def features():
    draw = np.random.RandomState(0)
    return draw.randn(2, 4, 4, 8).astype("f"), draw.randn(2, 4, 4, 8).astype("f")


def test_a_mask_chooses_pixels_of_the_features():
    own, other = features()
    mask = masks.box(16, 0.5, 0.0, 1.0, 0.25)
    expected = own.copy()
    expected[:, :1, 2:] = other[:, :1, 2:]
    np.testing.assert_array_equal(activations.copy_inside(mask)(own, other), expected)


def test_two_masks_may_overlap_as_in_the_paper():
    own, other = features()
    one, two = masks.part("left", 4), masks.part("top", 4)
    expected = own * one + other * (1 - two)
    actual = activations.attribute(one, two)(own, other)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_features_are_averaged_and_channels_copied():
    own, other = features()
    np.testing.assert_allclose(
        activations.average(0.25)(own, other), 0.75 * own + 0.25 * other, rtol=1e-5
    )
    expected = own.copy()
    expected[..., [0, 5]] = other[..., [0, 5]]
    np.testing.assert_array_equal(
        activations.copy_channels([5, 0])(own, other), expected
    )
    with pytest.raises(ValueError, match="channel 8 is not one of the 8"):
        activations.copy_channels([3, 8])(own, other)


def test_a_masked_morph_starts_at_the_first_image(generator, codes):
    first, second, _ = codes
    mask, t = masks.part("left", 16), jnp.array([0.0, 1.0])
    frames = activations.masked_morph(generator, first, second, mask, t, layers=4)
    assert frames.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(frames[:1], draw(generator, first), atol=1e-5)
    # At the end the features inside are those of the second code, in the first's noise.
    inside = generator.features(second.ws, first.noise, layers=4)
    outside = generator.features(first.ws, first.noise, layers=4)
    mixed = np.concatenate([inside[:, :, :4], outside[:, :, 4:]], axis=2)
    expected = generator.finish(jnp.asarray(mixed), second.ws, first.noise, layers=4)
    np.testing.assert_allclose(frames[1:], expected, atol=1e-4)
