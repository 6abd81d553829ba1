"""Attribute directions from samples and their classifiers' scores (InterFaceGAN).

Source: Shen et al. 2020, "InterFaceGAN", section 3 and appendix; genforce/interfacegan,
`train_boundary` in `utils/manipulator.py`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from stylegan_jax.editing.directions import Direction, Space, condition
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.separability import LabelledLatents

Fit = Literal["svm", "regression"]
Metric = Literal["euclidean", "samples"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boundary:
    """A direction and the accuracy of its separating plane.

    Attributes:
        direction: unit normal of the plane, towards more of the attribute.
        validation_accuracy: share of held-out extreme samples on their side.
        rest_accuracy: the same of the samples between the extremes, labelled by the
            middle between the highest and lowest score; NaN if there are none.
    """

    direction: Direction
    validation_accuracy: float
    rest_accuracy: float
    num_train: int


def find_boundary(
    latents: np.ndarray,
    scores: np.ndarray,
    *,
    name: str,
    space: Space = "w",
    extremes: float = 0.02,
    train_share: float = 0.7,
    fit: Fit = "svm",
    seed: int = 0,
    provenance: str = "",
) -> Boundary:
    """The direction of one attribute, from latents `[N, D]` and scores `[N]`.

    Args:
        scores: `[N]`; "svm" uses only their order.
        extremes: samples from the top and from the bottom each: a share up to 1, a
            count above; at most half of all.
        train_share: of the extremes; the others measure the accuracy.
        fit: "svm" separates the extremes with C = 1, as in the paper; "regression" is
            the least-squares slope over all samples outside the validation, its plane
            at the middle between the extremes' mean scores.

    Raises:
        UserError: mismatched shapes, values that are not finite, constant scores, or
            too few samples.
    """
    if latents.ndim != 2 or scores.shape != latents.shape[:1]:
        raise UserError(
            f"latents of shape {latents.shape} with scores of shape {scores.shape}; "
            "they must be [N, D] and [N]"
        )
    if not np.isfinite(latents).all() or not np.isfinite(scores).all():
        raise UserError(f"latents or scores of {name!r} are not finite")
    if scores.min() == scores.max():
        raise UserError(f"all samples have the same score of {name!r}")
    number = extremes * len(scores) if extremes <= 1 else extremes
    number = min(int(number), len(scores) // 2)
    if number < 2 or not 0 < train_share < 1 or int(number * train_share) < 1:
        raise UserError(
            f"extremes {extremes} of {len(scores)} samples with train_share "
            f"{train_share} leave none to fit or to validate; draw more samples"
        )
    order = np.argsort(-scores, kind="stable")
    rng = np.random.RandomState(seed)
    top, bottom = (rng.permutation(part) for part in (order[:number], order[-number:]))
    split = int(number * train_share)
    train = np.concatenate([top[:split], bottom[:split]])
    held_out = np.concatenate([top[split:], bottom[split:]])
    rest = order[number:-number]
    if fit == "svm":
        normal, intercept = _svm_plane(latents[train], np.arange(2 * split) < split)
    else:
        fitted = np.concatenate([train, rest])
        middle = (scores[top].mean() + scores[bottom].mean()) / 2
        normal, intercept = _regression_plane(latents[fitted], scores[fitted] - middle)
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
        num_train=len(train) if fit == "svm" else len(train) + len(rest),
    )


def attribute_boundaries(
    samples: LabelledLatents,
    names: Sequence[str] | None = None,
    *,
    space: Space = "w",
    **options: Any,
) -> list[Boundary]:
    """`find_boundary` for some attributes, all by default."""
    names = samples.names if names is None else tuple(names)
    unknown = [name for name in names if name not in samples.names]
    if unknown:
        raise UserError(
            f"samples have no scores of {unknown[0]!r}; choose from "
            f"{', '.join(samples.names)}"
        )
    latents = samples.w if space == "w" else samples.z
    return [
        find_boundary(
            latents,
            samples.logits[:, samples.names.index(name)],
            name=name,
            space=space,
            **options,
        )
        for name in names
    ]


def condition_on_each_other(
    directions: Sequence[Direction],
    latents: np.ndarray,
    *,
    metric: Metric = "euclidean",
) -> list[Direction]:
    """Each direction changed to keep the distances from all other planes constant.

    Of all such directions it is the one along which its own distance grows most per
    length:

    - "euclidean": orthogonal projection (`condition`).
    - "samples": length in standard deviations of the `latents` `[N, D]` (Mahalanobis),
      because a step where w hardly varies leaves the distribution. The plane then goes
      through the mean of the samples.

    Source: InterFaceGAN, section 3.2; the metric of the samples is ours.
    """
    found = []
    for i, direction in enumerate(directions):
        others = [*directions[:i], *directions[i + 1 :]]
        if metric == "euclidean":
            only = condition(direction, others, name=direction.name)
        else:
            only = _condition_among_samples(direction, others, latents)
        if others:
            kept = f"leaves {', '.join(d.name for d in others)} ({metric})"
            said = "; ".join(filter(None, [direction.provenance, kept]))
            only = dataclasses.replace(only, provenance=said)
        found.append(_with_std(only, latents))
    return found


def _condition_among_samples(
    primary: Direction, others: Sequence[Direction], latents: np.ndarray
) -> Direction:
    """Maximises n . v for v^T C^-1 v = 1 and v orthogonal to all, C the covariance."""
    condition(primary, others)  # refuses what does not go together
    if any(d.vector.ndim == 2 or d.layers is not None for d in (primary, *others)):
        raise UserError(
            f"{primary.name!r} or another direction acts on layers; the metric of the "
            "samples is of one w for all: take the euclidean one"
        )
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


def _svm_plane(latents: np.ndarray, has_it: np.ndarray) -> tuple[np.ndarray, float]:
    # Imported here: scikit-learn takes a second.
    from sklearn.svm import SVC

    machine = SVC(kernel="linear", C=1.0).fit(latents, has_it)
    return machine.coef_[0].astype(np.float64), float(machine.intercept_[0])


def _regression_plane(
    latents: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, float]:
    latents, scores = latents.astype(np.float64), scores.astype(np.float64)
    center, middle = latents.mean(axis=0), scores.mean()
    spread = latents - center
    # Least squares, because w may vary in fewer dimensions than it has.
    slopes, *_ = np.linalg.lstsq(
        spread.T @ spread, spread.T @ (scores - middle), rcond=None
    )
    return slopes, float(middle - center @ slopes)
