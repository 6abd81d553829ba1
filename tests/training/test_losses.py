import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.ops import resample
from stylegan_jax.training import losses
from stylegan_jax.training.losses import LossConfig

LOGITS = jnp.array([-2.0, 0.0, 3.0])


def cross_entropy(logits, label):
    p = 1 / (1 + np.exp(-np.float64(logits)))
    return -np.log(p if label else 1 - p)


def linear_critic(weight):
    return lambda images: jnp.sum(images * weight[None], axis=(1, 2, 3))


def draw(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("f")


def test_losses_are_their_definitions():
    real, fake = LOGITS, jnp.array([0.5, -3.0, 1.0])
    generator, discriminator = losses.GENERATOR_LOSSES, losses.DISCRIMINATOR_LOSSES
    both = cross_entropy(real, 1) + cross_entropy(fake, 0)
    hinge = [1.5 + 3, 0 + 1, 2 + 0]
    expected = {
        "logistic": (cross_entropy(fake, 1), both),  # of calling fakes real
        "logistic_saturating": (-cross_entropy(fake, 0), both),
        "wgan": (-fake, fake - real),
        "wgan_gp": (-fake, fake - real),
        "hinge": (-fake, hinge),
    }
    assert expected.keys() == generator.keys() == discriminator.keys()
    for name, (of_generator, of_discriminator) in expected.items():
        np.testing.assert_allclose(generator[name](fake), of_generator, rtol=1e-5)
        found = discriminator[name](real, fake)
        np.testing.assert_allclose(found, of_discriminator, rtol=1e-5)


def test_gradient_norm_of_a_linear_critic_is_that_of_its_weight():
    weight = draw(8, 8, 3)
    images = draw(2, 8, 8, 3, seed=1)
    logits, norms = losses.logits_and_gradient_norms(linear_critic(weight), images)
    np.testing.assert_allclose(logits, (images * weight).sum(axis=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(norms, [np.sum(np.float64(weight) ** 2)] * 2, rtol=1e-5)


@pytest.mark.parametrize("shrinkage", [1, 2, 4])
def test_norms_are_those_with_respect_to_images_enlarged_to_the_final_size(shrinkage):
    """The official critic takes enlarged images and averages them down."""
    critic = linear_critic(draw(4, 4, 3))
    images = draw(2, 4, 4, 3, seed=1)

    def official(enlarged):
        return critic(resample.downsample(enlarged, shrinkage))

    large = resample.upsample(images, shrinkage)
    _, expected = losses.logits_and_gradient_norms(official, large)
    _, actual = losses.logits_and_gradient_norms(critic, images, shrinkage)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_gradient_penalty_of_a_linear_critic_has_a_closed_form():
    weight = draw(4, 4, 3)
    reals, fakes = draw(2, 4, 4, 3, seed=1), draw(2, 4, 4, 3, seed=2)
    norm = math.sqrt(np.sum(np.float64(weight) ** 2)) / 2  # enlarged by 2
    actual = losses.gradient_penalty(
        linear_critic(weight),
        reals,
        fakes,
        jnp.array([0.1, 0.9]),
        target=3.0,
        shrinkage=2,
    )
    np.testing.assert_allclose(actual, [(norm - 3) ** 2 / 9] * 2, rtol=1e-4)


def test_gradient_penalty_looks_between_reals_and_fakes():
    reals, fakes = jnp.zeros((2, 2, 2, 1)), jnp.ones((2, 2, 2, 1))

    def square(images):  # whose gradient is the images themselves
        return jnp.sum(images**2, axis=(1, 2, 3)) / 2

    penalty = losses.gradient_penalty(square, reals, fakes, jnp.array([0.25, 1.0]))
    norms = np.array([0.25, 1.0]) * 2  # of 2 x 2 equal values
    np.testing.assert_allclose(penalty, (norms - 1) ** 2, atol=1e-5)


def test_gradient_penalty_has_a_finite_derivative_where_the_critic_is_flat():
    reals = jnp.ones((2, 2, 2, 1))

    def penalty(scale):
        def flat(x):
            return scale * jnp.sum(x, axis=(1, 2, 3))

        return losses.gradient_penalty(flat, reals, -reals, jnp.zeros(2)).sum()

    assert np.isfinite(jax.grad(penalty)(0.0))


def test_unset_penalties_are_those_of_the_objectives_source():
    def resolved(objective):
        loss = LossConfig(objective=objective).resolved()
        return loss.r1_gamma, loss.gp_lambda, loss.drift

    assert resolved("logistic") == resolved("logistic_saturating") == (10, 0, 0)
    assert resolved("wgan") == (0, 0, 1e-3)
    assert resolved("wgan_gp") == (0, 10, 1e-3)
    assert resolved("hinge") == (0, 0, 0)
    assert LossConfig(r1_gamma=0.5).resolved().r1_gamma == 0.5


def test_impossible_losses_are_refused():
    with pytest.raises(ValueError, match="'lsgan', not one of logistic"):
        LossConfig(objective="lsgan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="style_mixing is 2"):
        LossConfig(style_mixing=2)
    with pytest.raises(ValueError, match="r1_gamma is -1"):
        LossConfig(r1_gamma=-1)
