"""Sums of codes: expressions carried from face to face, styles made stronger."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from stylegan_jax.editing.mixing import row_mask
from stylegan_jax.inversion.code import Code, check_alike
from stylegan_jax.ops import latents

# Rows of a difference that are shorter do not move. Of the papers' networks, whose w
# has 512 numbers.
THRESHOLD = 1.0


def difference(start: Code, end: Code, threshold: float = THRESHOLD) -> Array:
    """What leads from one code to another, without the rows where that is little.

    Args:
        start: such as a neutral face.
        end: such as the same person's smile.
        threshold: rows whose L2 norm is below it become 0, so that backgrounds stay.

    Returns:
        `[N, L, w_dim]`.
    """
    check_alike(start, end)
    change = end.ws - start.ws
    norms = jnp.linalg.norm(change, axis=-1, keepdims=True)
    return jnp.where(norms < threshold, 0.0, change)


def transfer_expression(
    subject: Code,
    neutral: Code,
    expressive: Code,
    strength: Array | float = 1.0,
    threshold: float = THRESHOLD,
) -> Code:
    """Gives a face the expression of another person: `w1 + t (w3 - w2)`.

    Args:
        subject: who changes, w1; keeps its noise.
        neutral: another person, w2.
        expressive: that person with the expression, w3.
        strength: t.
        threshold: as in `difference`.

    Source: Abdal et al. 2019 (Image2StyleGAN), expression transfer.
    """
    check_alike(subject, neutral)
    change = difference(neutral, expressive, threshold)
    return Code(subject.ws + strength * change, subject.noise)


def scale_style(
    code: Code, w_avg: Array, factor: Array | float, rows: Sequence[int]
) -> Code:
    """Scales what sets rows of a code apart from the mean: `mean + f (w - mean)`.

    Args:
        code: of N images.
        w_avg: `[w_dim]`.
        factor: 1 changes nothing, 0 gives the mean, above 1 exaggerates.
        rows: to scale.

    Source: the truncation trick, Karras et al. 2018, appendix B, for any rows.
    """
    latents.check_ws(code.ws, w_dim=w_avg.shape[0])
    scaled = w_avg[None, None] + factor * (code.ws - w_avg[None, None])
    chosen = row_mask(rows, code.ws.shape[1])
    return Code(jnp.where(chosen, scaled, code.ws), code.noise)
