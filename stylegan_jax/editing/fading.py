"""Noise of inverted images, faded where an edit of the latents changes the picture.

Noise that was fitted to a photograph draws what its latents lack, at the place where it
was. An edit moves the latents only: where they draw something else, the old noise
shows as spots and ghosts.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.inversion.code import Code, draw, stored_noise
from stylegan_jax.networks.generator import Generator

# Change of a pixel, from 0 to 1, at which its noise is the network's own again.
FULL = 0.12


def fade_noise(generator: Generator, before: Code, ws: Array) -> Code:
    """The code of edited latents `[N, L, w_dim]`, with the noise of `before`.

    Where the edit changes the picture, noise goes back to the network's stored noise:
    in proportion to the largest change of a channel, all of it at `FULL`. Both pictures
    are drawn with the stored noise to see the change. Without a change the noise stays
    bit for bit, and stored noise always does.
    """
    if not before.noise:
        return Code(ws, before.noise)
    own = stored_noise(generator, len(before))
    drawn = [draw(generator, Code(x, own)) for x in (before.ws, ws)]
    change = jnp.abs(drawn[1] - drawn[0]).max(-1, keepdims=True) / 2
    # Half the size, for a soft edge.
    mask = jnp.clip(nn.avg_pool(change, (2, 2), (2, 2)) / FULL, 0, 1)

    def mixed(kept: Array, mine: Array) -> Array:
        here = jax.image.resize(mask, kept.shape, "linear")
        return kept + here * (mine - kept)

    return Code(ws, tuple(map(mixed, before.noise, own)))


faded = jax.jit(fade_noise)
