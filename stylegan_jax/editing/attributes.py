"""Attribute directions from samples and their classifiers' scores (InterFaceGAN).

Source: Shen et al. 2020, "InterFaceGAN", section 3 and appendix; genforce/interfacegan,
`train_boundary` in `utils/manipulator.py`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.editing.directions import Direction, Space, condition
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.separability import sample_for_separability
from stylegan_jax.networks.generator import Generator

Fit = Literal["svm", "regression"]
Conditional = Literal["orthogonal", "likely", "none"]
_TRAINED = 0.7  # share of the extremes that are fitted to


class Boundary(NamedTuple):
    """A direction and the accuracy of its separating plane."""

    direction: Direction  # unit normal of the plane, towards more of the attribute
    validation_accuracy: float  # share of held-out extreme samples on their side
    # The same of the samples between the extremes, labelled by the middle between the
    # highest and lowest score; NaN if there are none.
    rest_accuracy: float
    num_train: int


def find_boundary(
    latents: np.ndarray,
    scores: np.ndarray,
    *,
    name: str,
    space: Space = "w",
    extremes: float = 0.02,
    fit: Fit = "svm",
    seed: int = 0,
    provenance: str = "",
) -> Boundary:
    """The direction of one attribute, from latents `[N, D]` and scores `[N]`.

    "svm" separates the `extremes` with C = 1, as in the paper, and uses only the order
    of the scores; "regression" is the least-squares slope over all samples outside the
    validation, its plane at the middle between the extremes' mean scores. `extremes`
    are samples from the top and from the bottom each: a share up to 1, a count above;
    at most half of all. Seven tenths of them are fitted to, the others measure the
    accuracy. UserError for values that are not finite, constant scores, or too few
    samples.
    """
    if not np.isfinite(latents).all() or not np.isfinite(scores).all():
        raise UserError(f"latents or scores of {name!r} are not finite")
    if scores.min() == scores.max():
        raise UserError(f"all samples have the same score of {name!r}")
    number = extremes * len(scores) if extremes <= 1 else extremes
    number = min(int(number), len(scores) // 2)
    if number < 2:
        raise UserError(
            f"extremes {extremes} of {len(scores)} samples are too few; draw more"
        )
    order = np.argsort(-scores, kind="stable")
    rng = np.random.RandomState(seed)
    top, bottom = (rng.permutation(part) for part in (order[:number], order[-number:]))
    split = int(number * _TRAINED)
    train = np.concatenate([top[:split], bottom[:split]])
    held_out = np.concatenate([top[split:], bottom[split:]])
    rest = order[number:-number]
    # Imported here: scikit-learn takes a second.
    from sklearn.linear_model import LinearRegression
    from sklearn.svm import SVC

    if fit == "svm":
        plane = SVC(kernel="linear", C=1.0)
        plane.fit(latents[train], np.arange(2 * split) < split)
    else:
        train = np.concatenate([train, rest])
        middle = (scores[top].mean() + scores[bottom].mean()) / 2
        plane = LinearRegression()
        plane.fit(latents[train].astype(np.float64), scores[train] - middle)
    normal = plane.coef_.reshape(-1).astype(np.float64)
    intercept = float(np.ravel(plane.intercept_)[0])
    sides = latents @ normal + intercept > 0
    threshold = (scores.max() + scores.min()) / 2
    right = sides[rest] == (scores[rest] >= threshold)
    truth = np.arange(len(held_out)) < number - split
    direction = Direction(
        name=name,
        vector=normal,
        intercept=intercept,
        space=space,
        provenance=provenance,
    )
    return Boundary(
        direction=_with_std(direction, latents),
        validation_accuracy=float(np.mean(sides[held_out] == truth)),
        rest_accuracy=float(np.mean(right)) if len(rest) else float("nan"),
        num_train=len(train),
    )


def attribute_directions(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    count: int = 20_000,
    *,
    space: Space = "w",
    conditional: Conditional = "orthogonal",
    extremes: float = 0.02,
    fit: Fit = "svm",
    provenance: str = "",
    seed: int = 0,
    **options: Any,
) -> tuple[list[Boundary], list[Direction]]:
    """Boundaries by InterFaceGAN's protocol, and directions conditioned on each other.

    `extremes` and `fit` are as of `find_boundary`, `conditional` as of
    `condition_on_each_other`, or "none"; `options` are `labels` and those of
    `streaming.stream`. Samples are untruncated.

    Source: Shen et al. 2020, sections 3.2 and 3.3.
    """
    samples = sample_for_separability(generator, classifiers, count, seed, **options)
    latents = samples.w if space == "w" else samples.z
    how: dict[str, Any] = {"space": space, "extremes": extremes, "fit": fit}
    how |= {"seed": seed, "provenance": provenance}
    found = [
        find_boundary(latents, scores, name=name, **how)
        for name, scores in zip(samples.names, samples.logits.T, strict=True)
    ]
    directions = [boundary.direction for boundary in found]
    if conditional != "none":
        directions = condition_on_each_other(directions, latents, conditional)
    return found, directions


def condition_on_each_other(
    directions: Sequence[Direction],
    latents: np.ndarray,
    conditional: Conditional = "orthogonal",
) -> list[Direction]:
    """Each direction changed to keep the distances from all other planes constant.

    Of all such directions it is the one along which its own distance grows most per
    length:

    - "orthogonal": orthogonal projection (`condition`).
    - "likely": length in standard deviations of the `latents` `[N, D]` (Mahalanobis),
      because a step where w hardly varies leaves the distribution. The plane then goes
      through the mean of the samples.

    Source: InterFaceGAN, section 3.2; the metric of the samples is ours.
    """
    found = []
    for i, direction in enumerate(directions):
        others = [*directions[:i], *directions[i + 1 :]]
        if conditional == "orthogonal":
            only = condition(direction, others, name=direction.name)
        else:
            only = _condition_among_samples(direction, others, latents)
        if others:
            kept = f"leaves {', '.join(d.name for d in others)} ({conditional})"
            said = "; ".join(filter(None, [direction.provenance, kept]))
            only = dataclasses.replace(only, provenance=said)
        found.append(_with_std(only, latents))
    return found


def _condition_among_samples(
    primary: Direction, others: Sequence[Direction], latents: np.ndarray
) -> Direction:
    """Maximises n . v for v^T C^-1 v = 1 and v orthogonal to all, C the covariance."""
    condition(primary, others)  # raises if nothing is left
    covariance = np.cov(latents.astype(np.float64), rowvar=False)
    rest = primary.vector
    if others:
        kept = np.stack([other.vector for other in others], axis=1)
        inner = kept.T @ covariance @ kept
        rest = rest - kept @ np.linalg.solve(inner, kept.T @ covariance @ rest)
    vector = covariance @ rest
    center = latents.mean(axis=0, dtype=np.float64)
    return dataclasses.replace(
        primary, vector=vector, intercept=-float(center @ vector), std=None
    )


def _with_std(direction: Direction, latents: np.ndarray) -> Direction:
    along = latents.astype(np.float64) @ direction.mean_row
    return dataclasses.replace(direction, std=float(np.std(along)) or None)
