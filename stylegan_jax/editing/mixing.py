"""Rows of one code in another."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from stylegan_jax.editing.layer_names import named_rows
from stylegan_jax.inversion.code import Code, check_alike


def mix(content: Code, style: Code, rows: Sequence[int]) -> Code:
    """Replaces rows of one code by those of another; noise stays the first's.

    Args:
        content: of N images, or of one.
        style: of N images, or of one.
        rows: to take from `style`, from 0.

    Source: Karras et al. 2018, section 3.1.
    """
    check_alike(content, style)
    count = max(len(content), len(style))
    ws = jnp.broadcast_to(content.ws, (count, *content.ws.shape[1:]))
    other = jnp.broadcast_to(style.ws, ws.shape)
    taken = row_mask(rows, ws.shape[1])
    noise = tuple(jnp.broadcast_to(n, (count, *n.shape[1:])) for n in content.noise)
    return Code(jnp.where(taken, other, ws), noise)


def transfer_style(content: Code, style: Code) -> Code:
    """The first half of the rows from one code, the others from another.

    Source: Abdal et al. 2019 (Image2StyleGAN), style transfer: rows 1 to 9 of 18 from
    the content. In other networks the rows of `layers.rows_of_18`.
    """
    return mix(content, style, named_rows("style", content.ws.shape[1]))


def row_mask(rows: Sequence[int], num_layers: int) -> Array:
    """Which rows, bool `[1, L, 1]`."""
    chosen = jnp.zeros((1, num_layers, 1), bool)
    return chosen.at[:, jnp.asarray(rows, int)].set(True) if len(rows) else chosen
