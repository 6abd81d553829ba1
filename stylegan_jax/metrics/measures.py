"""Measures of a generator or of images by name: FID, KID, precision, recall, PPL, LS.

    options = MeasureOptions(mirror=True)
    scores = take(generator, source, Measure("fid", 5000), options)

`prepare` fetches the weights and checks the data in advance.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax import Array

from stylegan_jax.classifiers import own
from stylegan_jax.classifiers.attribute_classifiers import (
    attribute_table,
    classifiers_for,
)
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.features import inception, lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import sampling
from stylegan_jax.metrics.frechet import frechet_distance
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.kernel import kernel_distance
from stylegan_jax.metrics.names import KINDS, Measure
from stylegan_jax.metrics.path_length import Distance, path_length
from stylegan_jax.metrics.precision_recall import precision_recall
from stylegan_jax.metrics.separability import sample_for_separability, separability
from stylegan_jax.metrics.store import digest
from stylegan_jax.metrics.task import MeasureOptions, Task, make_task, require_enough
from stylegan_jax.networks.generator import Generator

_INCEPTION = 2048  # features; FID of fewer images is far too large
_LOOKED_AT = 500  # labels read to check that there are any
Scores = dict[str, float]
T = TypeVar("T")


def take(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> Scores:
    """Takes one measure; returns scores by name.

    `made` may be images for FID, KID, precision and recall, and the inception score.
    Path lengths and the inception score of unconditional networks need no `source`.
    In several processes all must call this alike. An interrupted call is resumed by
    the next, with the same score. Raises UserError if weights are unavailable, or the
    data, the generator or the features do not allow the measure.
    """
    task = make_task(made, source, measure, options)
    scores = _MEASURES[measure.kind][0](task)
    task.files.finish()
    return scores


def about(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> dict[str, Any]:
    """JSON description of what a score depends on; nothing is drawn or decoded.

    "samples"; with data also its name ("data"), its size ("images"), the number used
    ("reals"), their "fingerprint", and the "resolution". Raises UserError as `take`.
    """
    task = make_task(made, source, measure, options)
    found: dict[str, Any] = {"samples": task.num_samples}
    if source is None or not task.uses_data:
        return found
    found |= {"data": source.name, "images": len(source)}
    if measure.compares:
        # Process 0 alone reads files.
        mark = task.fingerprint() if jax.process_index() == 0 else ""
        found |= {"reals": task.num_reals, "fingerprint": mark}
        found["resolution"] = task.resolution
    if task.labels is not None:
        found["labels"] = digest(task.labels)
    fewest = min(task.num_samples, task.num_reals)
    if measure.kind == "fid" and fewest <= _INCEPTION:
        found["note"] = (
            f"too large by a bias that falls with the number: compare {task.name} with "
            "scores of the same number only"
        )
    return found


def prepare(
    source: Source, measure: Measure, options: MeasureOptions
) -> dict[str, bool]:
    """Fetches weights and checks the data before a measure is taken.

    Returns, for each score that ranks generators, whether larger is better.
    """
    require_enough(source, measure)
    features = None
    if measure.kind == "ls":
        some = range(0, len(source), max(1, len(source) // _LOOKED_AT))
        attribute_table(source, None, some)
    elif options.features is not None:
        given = options.features
        features = (own.load(given) if isinstance(given, Path) else given).name
        if measure.kind == "is":
            raise UserError(
                f"{measure.name} is a score of Inception's classes, and {features} has"
                " none; leave one of the two out"
            )
    else:
        _MEASURES[measure.kind][1](options)
    base, scores = measure.name_on(features), KINDS[measure.kind].scores
    return {f"{base}{end}": larger for end, larger in scores.items()}


# --- Networks ----------------------------------------------------------------------


def _had(path: Path | None, load: Callable[[], T]) -> T:
    """Result of `load`; errors of a failed download name the alternatives."""
    try:
        return load()
    except UserError as error:
        if path is not None:
            raise
        raise UserError(
            f"{error}; or score on features of your own with `features` FILE "
            "(docs/metrics.md), which needs no such weights"
        ) from error


def _load_inception(options: MeasureOptions) -> Any:
    return inception.load(options.inception)


def _load_vgg16(options: MeasureOptions) -> Any:
    return vgg16.load(options.vgg16, dense=True)


def _load_lpips(options: MeasureOptions) -> Any:
    return lpips.load(trunk=options.vgg16, linear=options.lpips)


def _inception(task: Task, output: str = "2048") -> FrozenNetwork:
    load = functools.partial(_load_inception, task.options)
    return inception.extractor(_had(task.options.inception, load), output)


def _vgg16(task: Task) -> FrozenNetwork:
    load = functools.partial(_load_vgg16, task.options)
    return vgg16.fc2_extractor(_had(task.options.vgg16, load))


def _distance(task: Task) -> tuple[Distance, Callable[[], str]]:
    """Distance between images, and a function for the digest of its weights."""
    options, other = task.options, task.other
    if other is None:
        load = functools.partial(_load_lpips, options)
        params = _had(options.vgg16 and options.lpips, load)

        def perceptual(a: Array, b: Array) -> Array:
            return lpips.distance(params, sampling.as_rgb(a), sampling.as_rgb(b))

        return perceptual, lambda: digest(params)

    def squared(a: Array, b: Array) -> Array:
        # Not rounded: a path step is far below one level.
        seen = (sampling.as_rgb(images * 127.5 + 127.5) for images in (a, b))
        found_a, found_b = (other.function(other.params, images) for images in seen)
        return ((found_a - found_b) ** 2).sum(1)

    return squared, lambda: digest(other.params)


# --- The measures ------------------------------------------------------------------


def _fid(task: Task) -> Scores:
    network = task.other or _inception(task)
    images = task.data(network), task.samples(network)
    real, fake = (sampling.statistics(x, task.files) for x in images)
    return {task.name: frechet_distance(real, fake)}


def _kid(task: Task) -> Scores:
    real, fake = task.features(task.other or _inception(task))
    return {task.name: kernel_distance(real, fake).mean}


def _precision_recall(task: Task) -> Scores:
    found = precision_recall(*task.features(task.other or _vgg16(task)))
    return {
        f"{task.name}_precision": found.precision,
        f"{task.name}_recall": found.recall,
    }


def _inception_score(task: Task) -> Scores:
    if task.other is not None:
        raise UserError(
            f"{task.measure.name} is a score of Inception's classes, and features of "
            f"{task.other.name} are none; leave them out, or take fid, kid, pr or ppl"
        )
    images = task.samples(_inception(task, "logits_unbiased"))
    if task.num_samples < 20:
        raise UserError(
            f"{task.name} is of {task.num_samples} images in ten parts, and a part of "
            "one image says nothing; take 20 or more"
        )
    mean, std = inception_score(sampling.features(images, task.files))
    return {f"{task.name}_mean": mean, f"{task.name}_std": std}


def _path_length(task: Task) -> Scores:
    distance, weights = _distance(task)
    _, path = task.measure.kind.split("_")
    found = path_length(
        task.generator,
        distance,
        space="z" if path[0] == "z" else "w",
        sampling="end" if path[1:] == "end" else "full",
        count=task.count,
        labels=task.labels,
        partial=task.partial(distance=weights),
        **task.drawing,
    )
    return {task.name: found.score}


def _separability(task: Task) -> Scores:
    name, options = task.measure.name, task.options
    classifiers = classifiers_for(
        task.source,
        task.generator.resolution,
        file=options.classifiers,
        cached=options.cache,
        quiet=options.quiet,
    )
    params = {attribute: each.params for attribute, each in classifiers.items()}
    found = sample_for_separability(
        task.generator,
        classifiers,
        task.count,
        labels=task.labels,
        partial=task.partial(classifiers=lambda: digest(params)),
        **task.drawing,
    )
    scores = {
        f"{name}_z": separability(found.z, found.logits).score,
        f"{name}_w": separability(found.w, found.logits).score,
    }
    for attribute, classifier in classifiers.items():
        scores[f"{name}_accuracy_{attribute}"] = classifier.accuracy
    return scores


# By kind: the measure, and the loader of its weights.
_MEASURES: dict[
    str, tuple[Callable[[Task], Scores], Callable[[MeasureOptions], Any]]
] = {
    "fid": (_fid, _load_inception),
    "kid": (_kid, _load_inception),
    "pr": (_precision_recall, _load_vgg16),
    "is": (_inception_score, _load_inception),
    "ppl_zfull": (_path_length, _load_lpips),
    "ppl_wfull": (_path_length, _load_lpips),
    "ppl_zend": (_path_length, _load_lpips),
    "ppl_wend": (_path_length, _load_lpips),
    "ls": (_separability, lambda options: None),
}
