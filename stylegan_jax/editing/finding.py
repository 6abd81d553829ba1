"""Attribute directions from samples of a generator, and deviations along directions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.editing.attributes import (
    Boundary,
    Fit,
    attribute_boundaries,
    condition_on_each_other,
)
from stylegan_jax.editing.directions import Direction, Space
from stylegan_jax.editing.ganspace import statistics_of_w, with_std_of
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.separability import sample_for_separability
from stylegan_jax.networks.generator import Generator

Conditional = Literal["orthogonal", "likely", "none"]


def attribute_directions(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    count: int = 20_000,
    *,
    space: Space = "w",
    extremes: float = 0.02,
    fit: Fit = "svm",
    conditional: Conditional = "orthogonal",
    labels: LabelDistribution | None = None,
    seed: int = 0,
    batch_size: int = 64,
    provenance: str = "",
    quiet: bool = False,
) -> tuple[list[Boundary], list[Direction]]:
    """Boundaries by InterFaceGAN's protocol, and directions conditioned on each other.

    `extremes` and `fit` are as of `attributes.find_boundary`; `conditional` is
    "orthogonal" or "likely" (by deviations of the samples). Samples are untruncated.

    Source: Shen et al. 2020, sections 3.2 and 3.3.
    """
    samples = sample_for_separability(
        generator,
        classifiers,
        count,
        seed,
        labels=labels,
        batch_size=batch_size,
        quiet=quiet,
    )
    found = attribute_boundaries(
        samples,
        space=space,
        extremes=extremes,
        fit=fit,
        seed=seed,
        provenance=provenance,
    )
    directions = [boundary.direction for boundary in found]
    if conditional != "none":
        latents = samples.w if space == "w" else samples.z
        metric = "samples" if conditional == "likely" else "euclidean"
        directions = condition_on_each_other(directions, latents, metric=metric)
    return found, directions


def with_stds(
    generator: Generator,
    directions: Sequence[Direction],
    count: int = 20_000,
    *,
    labels: LabelDistribution | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> list[Direction]:
    """The directions with the standard deviation of `count` samples along each."""
    if all(direction.std for direction in directions):
        return list(directions)
    statistics = statistics_of_w(
        generator, count, labels=labels, seed=seed, quiet=quiet
    )
    return [d if d.std else with_std_of(d, statistics) for d in directions]


def in_layers(
    directions: Sequence[Direction], layers: tuple[int, ...] | None
) -> list[Direction]:
    """The directions restricted to `layers`; None leaves them as they are."""
    if layers is None:
        return list(directions)
    for direction in directions:
        if direction.space == "z":
            raise UserError(
                f"`layers`: direction {direction.name!r} is in z, which has no layers"
            )
    return [dataclasses.replace(d, layers=layers) for d in directions]


def named_apart(directions: Sequence[Direction]) -> list[Direction]:
    """The directions, equal names distinguished by their provenance."""
    names = [direction.name for direction in directions]
    return [
        dataclasses.replace(d, name=f"{d.name} ({d.provenance})")
        if names.count(d.name) > 1
        else d
        for d in directions
    ]
