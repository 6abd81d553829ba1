"""Augmentation does not show in samples: what the discriminator sees can be undone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.augment import values
from stylegan_jax.augment.pipeline import augment

pytestmark = pytest.mark.thorough
UPRIGHT = np.zeros((1, 8, 8, 1), np.float32)
UPRIGHT[:, :2] = 1.0  # a bar along the upper edge
COUNT = 4096


def kernel(p):
    """How often a bar at edge i is seen at edge j, `[4, 4]`, of the pipeline itself."""
    drawn = values.draw(jax.random.key(0), ("rotate90",), p, (COUNT, 8, 8, 1))
    bars = jnp.stack([jnp.rot90(UPRIGHT, i, axes=(1, 2))[0] for i in range(4)])

    @jax.jit
    def seen_at(bar):
        images = augment(jnp.broadcast_to(bar, (COUNT, 8, 8, 1)), drawn)
        return jnp.argmax(jnp.einsum("nhwc,khwc->nk", images, bars), axis=1)

    counts = [np.bincount(seen_at(bar), minlength=4) for bar in bars]
    return np.stack(counts) / COUNT


def trained(kernel, steps=4000, rate=2.0):
    """Shares of the four orientations in a generator's samples, data being upright.

    The discriminator is the best there is, and the generator descends the divergence
    that it tells: Goodfellow et al. 2014, section 4, of what the kernel leaves to see.
    """
    logits = np.array([0.0, 0.1, -0.1, 0.05])
    real = kernel[0]
    for _ in range(steps):
        share = np.exp(logits) / np.exp(logits).sum()
        fake = share @ kernel
        # Of the divergence by the share of what is seen, then of what is drawn.
        slope = kernel @ (0.5 * np.log(2 * fake / (real + fake)))
        logits -= rate * share * (slope - share @ slope)
    return np.exp(logits) / np.exp(logits).sum()


def test_turns_come_as_often_as_they_should():
    """With probability p one of four turns: a circulant matrix."""
    expected = np.full((4, 4), 0.6 / 4) + 0.4 * np.eye(4)
    np.testing.assert_allclose(kernel(0.6), expected, atol=0.03)


@pytest.mark.parametrize(("p", "upright"), [(0.6, True), (1.0, False)])
def test_a_generator_draws_upright_pictures_unless_all_are_turned(p, upright):
    """Figure 4 of the paper: below 0.8 nothing leaks, at 1 nothing is left to see."""
    share = trained(kernel(p))
    assert (share[0] > 0.95) == upright
