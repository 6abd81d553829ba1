"""Measures of a generator or of images by name: FID, KID, precision, recall, PPL, LS.

    fid("generated", "photos")
    compare(generator, photos, "kid,pr", features=network)
    take(generator, source, Measure("fid", 5000), MeasureOptions(mirror=True))

`prepare` fetches the weights and checks the data in advance.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jax import Array

from stylegan_jax.classifiers.attribute_classifiers import (
    attribute_table,
    classifiers_for,
)
from stylegan_jax.data.config import DataConfig, kind_of
from stylegan_jax.data.sources import ArraySource, Source, open_source
from stylegan_jax.errors import UserError
from stylegan_jax.features import inception, lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import sampling
from stylegan_jax.metrics.frechet import frechet_distance
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.kernel import kernel_distance
from stylegan_jax.metrics.names import KINDS, PATHS, Measure, parse_measures
from stylegan_jax.metrics.path_length import Distance, path_length
from stylegan_jax.metrics.precision_recall import precision_recall
from stylegan_jax.metrics.separability import sample_for_separability, separability
from stylegan_jax.metrics.task import (
    MeasureOptions,
    Task,
    make_task,
    own_features,
    require_enough,
)
from stylegan_jax.networks.generator import Generator

_LOOKED_AT = 500  # labels read to check that there are any
Scores = dict[str, float]
Images = str | Path | np.ndarray | Source


def compare(
    made: Images | Generator,
    data: Images | None,
    measures: str = "fid",
    **options: Any,
) -> Scores:
    """Scores by name of `made` against `data`, each image of which counts once.

    Both may be the path of a folder, a zip file or prepared data, uint8 images
    `[N, H, W, C]` or a source, and `made` a generator; some measures need no data.
    `measures` are as `fid,kid300`: a bare name takes all images, at most 50,000, and
    of a generator as many samples. `options` are those of `MeasureOptions`. Raises
    UserError for images, names or features that allow no score.
    """
    there = made if isinstance(made, Generator) else open_images(made)
    source = None if data is None else open_images(data)
    how = MeasureOptions(**{"quiet": True, **options})
    scores: Scores = {}
    for measure in parse_measures(measures):
        scores |= take(there, source, measure, how)
    return scores


def fid(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> float:
    """Fréchet distance of Inception's features, or of `features`; as `compare`.

    `count` images of each kind, or all. It is far too large for fewer images than a few
    times the number of features: compare only scores of equal numbers, or take `kid`.
    """
    (score,) = compare(made, data, f"fid{count or ''}", **options).values()
    return score


def kid(
    made: Images | Generator, data: Images, count: int | None = None, **options: Any
) -> float:
    """Kernel distance, unbiased for any number of images; as `fid`."""
    (score,) = compare(made, data, f"kid{count or ''}", **options).values()
    return score


def open_images(images: Images, num_channels: int = 3) -> Source:
    """Opens images as a source, files with `num_channels`; UserError if unusable."""
    if isinstance(images, np.ndarray):
        return ArraySource(images)
    if not isinstance(images, str | Path):
        return images
    config = DataConfig(
        name=kind_of(images), path=str(images), num_channels=num_channels
    )
    return open_source(config)


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
    return score(make_task(made, source, measure, options))


def score(task: Task) -> Scores:
    """Takes the measure of a task, as `take`."""
    scores = _MEASURES[task.measure.kind](task)
    task.store.finish()
    return scores


def prepare(
    source: Source, measure: Measure, options: MeasureOptions
) -> dict[str, bool]:
    """Fetches weights and checks the data before a measure is taken.

    Returns, for each score that ranks generators, whether larger is better.
    """
    require_enough(source, measure)
    other = own_features(measure, options)
    if measure.kind == "ls":
        some = range(0, len(source), max(1, len(source) // _LOOKED_AT))
        attribute_table(source, None, some)
    elif other is None:
        _load(measure.kind, options)
    base = measure.name_on(other.name if other else None)
    scores = KINDS[measure.kind].scores
    return {f"{base}{end}": larger for end, larger in scores.items()}


def _load(kind: str, options: MeasureOptions) -> Any:
    if kind == "pr":
        return vgg16.load(options.vgg16, dense=True)
    if kind in PATHS:
        return lpips.load(trunk=options.vgg16, linear=options.lpips)
    return inception.load(options.inception)


def _weights(task: Task) -> Any:
    """Weights of the usual network; an error names the alternative."""
    try:
        return _load(task.measure.kind, task.options)
    except UserError as error:
        raise UserError(
            f"{error}; or score on features of your own with `features` FILE "
            "(docs/metrics.md), which needs no such weights"
        ) from error


def _inception(task: Task, output: str = "2048") -> FrozenNetwork:
    return task.other or inception.extractor(_weights(task), output)


def _fid(task: Task) -> Scores:
    images = task.images(_inception(task))
    return {task.name: frechet_distance(*(x.statistics(task.store) for x in images))}


def _kid(task: Task) -> Scores:
    images = task.images(_inception(task))
    found = kernel_distance(*(x.features(task.store) for x in images))
    return {task.name: found.mean}


def _precision_recall(task: Task) -> Scores:
    images = task.images(task.other or vgg16.fc2_extractor(_weights(task)))
    found = precision_recall(*(x.features(task.store) for x in images))
    return {
        f"{task.name}_precision": found.precision,
        f"{task.name}_recall": found.recall,
    }


def _inception_score(task: Task) -> Scores:
    if task.num_samples < 20:
        raise UserError(
            f"{task.name} is of {task.num_samples} images in ten parts, and a part of "
            "one image says nothing; take 20 or more"
        )
    images = task.samples(_inception(task, "logits_unbiased"))
    mean, std = inception_score(images.features(task.store))
    return {f"{task.name}_mean": mean, f"{task.name}_std": std}


def _distance(task: Task) -> tuple[Distance, Any]:
    """Distance between images, and its weights."""
    if (other := task.other) is None:
        params = _weights(task)

        def perceptual(a: Array, b: Array) -> Array:
            return lpips.distance(params, sampling.as_rgb(a), sampling.as_rgb(b))

        return perceptual, params

    def squared(a: Array, b: Array) -> Array:
        # Not rounded: a path step is far below one level.
        seen = (sampling.as_rgb(images * 127.5 + 127.5) for images in (a, b))
        found_a, found_b = (other.function(other.params, images) for images in seen)
        return ((found_a - found_b) ** 2).sum(1)

    return squared, other.params


def _path_length(task: Task) -> Scores:
    distance, weights = _distance(task)
    _, path = task.measure.kind.split("_")
    found = path_length(
        task.generator,
        distance,
        space=path[0],
        sampling=path[1:],
        count=task.num_samples,
        labels=task.labels,
        **task.resumed(distance=weights),
        **task.drawing,
    )
    return {task.name: found.score}


def _separability(task: Task) -> Scores:
    options = task.options
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
        task.num_samples,
        labels=task.labels,
        **task.resumed(classifiers=params),
        **task.drawing,
    )
    scores = {
        f"{task.name}_z": separability(found.z, found.logits).score,
        f"{task.name}_w": separability(found.w, found.logits).score,
    }
    for attribute, classifier in classifiers.items():
        scores[f"{task.name}_accuracy_{attribute}"] = classifier.accuracy
    return scores


_MEASURES: dict[str, Callable[[Task], Scores]] = {
    "fid": _fid,
    "kid": _kid,
    "pr": _precision_recall,
    "is": _inception_score,
    **dict.fromkeys(PATHS, _path_length),
    "ls": _separability,
}
