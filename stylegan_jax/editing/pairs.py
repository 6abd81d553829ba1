"""A direction from pairs of photographs: of the same people, without and with a smile.

Where no classifier knows an attribute, a few dozen pairs show it: what differs between
the codes of a pair is the attribute and what else changed, and the mean over pairs
keeps what they have in common.

Source: Abdal et al. 2019, "Image2StyleGAN", whose expression transfer adds the
difference of one pair to another code; the mean over pairs is ours.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array

from stylegan_jax.editing.directions import Direction
from stylegan_jax.errors import UserError


class PairedDirection(NamedTuple):
    """A direction of pairs, and how far they agree."""

    direction: Direction  # `[L, D]` in w, towards those with the attribute
    # Share of pairs whose own difference goes along the mean difference of all others:
    # 1 if they show the same change, about 1/2 if they have nothing in common.
    agreement: float


def pair_direction(
    without: Array | np.ndarray,
    having: Array | np.ndarray,
    *,
    name: str,
    layers: Sequence[int] | None = None,
    provenance: str = "",
) -> PairedDirection:
    """The mean difference of the codes `[N, L, D]` of N pairs, for each layer.

    Its plane lies in the middle between the means of both. Its `std` is half the
    distance between them, which is the standard deviation along it of as many codes
    without the attribute as with it: 2 of it lead from the one to the other. `layers`
    are those where it acts, all by default. UserError for fewer than two pairs, other
    shapes, or codes that are not finite or do not differ.
    """
    before, after = (np.asarray(x, np.float64) for x in (without, having))
    if before.ndim != 3 or before.shape != after.shape:
        raise UserError(
            f"codes of pairs have shapes {before.shape} and {after.shape}; both must "
            "be [pairs, layers, w_dim]"
        )
    number = len(before)
    if number < 2:
        raise UserError(f"a direction of pairs needs two of them, not {number}")
    differences = after - before
    found = Direction(
        name=name,
        vector=differences.mean(0),
        layers=None if layers is None else tuple(layers),
        provenance=provenance or f"mean difference of {number} pairs",
    )
    rows = found.rows(before.shape[1])
    along = rows / np.sum(rows**2)
    low, high = (float(np.sum(codes.mean(0) * along)) for codes in (before, after))
    direction = dataclasses.replace(
        found, intercept=-(low + high) / 2, std=(high - low) / 2
    )
    if layers is not None:
        differences = differences[:, list(layers)]
    others = differences.sum(0) - differences
    agree = np.sum(differences * others, axis=(1, 2)) > 0
    return PairedDirection(direction, float(agree.mean()))
