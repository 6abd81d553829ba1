"""Directions of attributes, from samples and their classifiers' scores.

InterFaceGAN's protocol: sample, score, take the samples with the most and the least of
an attribute, separate them by a plane, and go along its normal.

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
    """A direction that was found, and how well its plane separates.

    Attributes:
        direction: the plane's unit normal, towards more of the attribute.
        validation_accuracy: share of the extreme samples held out that lie on their
            side of the plane.
        rest_accuracy: the same of all samples between the extremes, which have the
            attribute if they score above the middle between the highest and the
            lowest score; NaN if there are none.
        num_train: samples that the plane was fitted to.
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
    """Finds the direction of one attribute.

    Args:
        latents: `[N, D]`.
        scores: `[N]`; only their order matters to "svm".
        name: of the attribute.
        space: of the latents.
        extremes: how many samples to take from the top and from the bottom each: a
            share of all up to 1, a number above; never more than half of them.
        train_share: of the extremes; the others measure the accuracy.
        fit: "svm", a linear support vector machine with C = 1 between the extremes, as
            in the paper; or "regression", the slope of a least-squares fit of the
            scores on the latents of all samples outside the validation. Its plane is
            where the fit crosses the middle between the extremes' mean scores.
        seed: of the split.
        provenance: kept in the direction.

    Raises:
        UserError: shapes that do not go together, numbers that are not finite, one
            score for all, or too few samples.
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
    """Finds the direction of each attribute, each by itself.

    Args:
        samples: from `metrics.separability.sample_for_separability`.
        names: some of the attributes; all by default.
        space: "w" or "z".
        options: others of `find_boundary`.

    Raises:
        UserError: an attribute that the samples were not scored by; or as
            `find_boundary`.
    """
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
    """Each direction changed so that it leaves all the others alone.

    Moving along one changes none of the other planes' distances. Of all such directions
    it is the one along which its own distance grows most for its length. That length
    is measured

    - "euclidean": as it is. The result is the orthogonal projection (`condition`).
    - "samples": in standard deviations of the samples along it (Mahalanobis): a step
      where w hardly varies leads to images unlike any sample. The plane then goes
      through the mean of the samples.

    Args:
        directions: of one space, for all layers alike.
        latents: `[N, D]` samples.
        metric: of the two.

    Raises:
        UserError: nothing is left of one of them.

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
    """With covariance C: maximises n . v for v^T C^-1 v = 1 and v orthogonal to all."""
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
    # Imported here: it takes a second, and nothing else needs it.
    from sklearn.svm import SVC

    machine = SVC(kernel="linear", C=1.0).fit(latents, has_it)
    return machine.coef_[0].astype(np.float64), float(machine.intercept_[0])


def _regression_plane(
    latents: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, float]:
    latents, scores = latents.astype(np.float64), scores.astype(np.float64)
    center, middle = latents.mean(axis=0), scores.mean()
    spread = latents - center
    # Least squares, so that a w that varies in fewer dimensions than it has will do.
    slopes, *_ = np.linalg.lstsq(
        spread.T @ spread, spread.T @ (scores - middle), rcond=None
    )
    return slopes, float(middle - center @ slopes)
