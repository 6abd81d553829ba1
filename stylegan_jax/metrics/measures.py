"""Measures of a generator or of images by name: FID, KID, precision, recall, PPL, LS.

    fid("generated", "photos")
    compare(generator, photos, "kid,pr", features=network)
    take(generator, source, Measure("fid", 5000), MeasureOptions(mirror=True))

`prepare` fetches the weights and checks the data in advance.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
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
from stylegan_jax.metrics.store import digest
from stylegan_jax.metrics.task import (
    MeasureOptions,
    Task,
    make_task,
    own_features,
    require_enough,
)
from stylegan_jax.networks.generator import Generator

_INCEPTION = 2048  # features; FID of fewer images is far too large
_LOOKED_AT = 500  # labels read to check that there are any
Scores = dict[str, float]
Images = str | Path | np.ndarray | Source


def compare(
    made: Images | Generator,
    data: Images | None,
    measures: str = "fid",
    *,
    resolution: int | None = None,
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
    if resolution is None and not isinstance(there, Generator):
        resolution = common_side(there)
    if isinstance(options.get("features"), str):
        options["features"] = Path(options["features"])
    how = MeasureOptions(resolution=resolution, **{"quiet": True, **options})
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


def open_images(images: Images) -> Source:
    """Opens images as a source; raises UserError if unusable."""
    if isinstance(images, np.ndarray):
        return ArraySource(images)
    if not isinstance(images, str | Path):
        return images
    config = DataConfig(name=kind_of(images), path=str(images))
    return open_source(config)


def common_side(source: Source) -> int:
    """Side in pixels of the smallest image; raises UserError if sizes are arbitrary."""
    if source.side is None:
        raise UserError(
            f"{source.name} has images of any size; give the resolution to compare at"
        )
    return source.side


# --- One measure -------------------------------------------------------------------


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
    labelled = task.labels is not None
    if source is None or not (measure.compares or measure.kind == "ls" or labelled):
        return found
    found |= {"data": source.name, "images": len(source)}
    if measure.compares:
        # Process 0 alone reads files.
        mark = task.fingerprint(source) if jax.process_index() == 0 else ""
        found |= {"reals": task.num_reals, "fingerprint": mark}
        found["resolution"] = task.resolution
    if labelled:
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
    features = own_features(measure, options)
    if measure.kind == "ls":
        some = range(0, len(source), max(1, len(source) // _LOOKED_AT))
        attribute_table(source, None, some)
    elif features is None:
        _weights(measure.kind, options)
    base = measure.name_on(features.name if features else None)
    scores = KINDS[measure.kind].scores
    return {f"{base}{end}": larger for end, larger in scores.items()}


# --- Networks ----------------------------------------------------------------------


def _weights(kind: str, options: MeasureOptions) -> Any:
    """Parameters of a measure's network; errors of downloads name the alternative."""
    _, network = _MEASURES[kind]
    trunk, linear = options.vgg16, options.lpips
    given, load = {
        "inception": ([options.inception], lambda: inception.load(options.inception)),
        "vgg16": ([trunk], lambda: vgg16.load(trunk, dense=True)),
        "lpips": ([trunk, linear], lambda: lpips.load(trunk=trunk, linear=linear)),
    }[network]
    try:
        return load()
    except UserError as error:
        if all(given):
            raise
        raise UserError(
            f"{error}; or score on features of your own with `features` FILE "
            "(docs/metrics.md), which needs no such weights"
        ) from error


def _network(task: Task) -> FrozenNetwork:
    if task.other is not None:
        return task.other
    params = _weights(task.measure.kind, task.options)
    if task.measure.kind == "pr":
        return vgg16.fc2_extractor(params)
    output = "logits_unbiased" if task.measure.kind == "is" else "2048"
    return inception.extractor(params, output)


def _distance(task: Task) -> tuple[Distance, Callable[[], str]]:
    """Distance between images, and a function for the digest of its weights."""
    other = task.other
    if other is None:
        params = _weights(task.measure.kind, task.options)

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
    network = _network(task)
    images = task.data(network), task.samples(network)
    real, fake = (sampling.statistics(x, task.files) for x in images)
    return {task.name: frechet_distance(real, fake)}


def _kid(task: Task) -> Scores:
    return {task.name: kernel_distance(*task.features(_network(task))).mean}


def _precision_recall(task: Task) -> Scores:
    found = precision_recall(*task.features(_network(task)))
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
    images = task.samples(_network(task))
    mean, std = inception_score(sampling.features(images, task.files))
    return {f"{task.name}_mean": mean, f"{task.name}_std": std}


def _path_length(task: Task) -> Scores:
    distance, weights = _distance(task)
    _, path = task.measure.kind.split("_")
    found = path_length(
        task.generator,
        distance,
        space=path[0],
        sampling=path[1:],
        count=task.count,
        labels=task.labels,
        file=task.file(distance=weights),
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
        file=task.file(classifiers=lambda: digest(params)),
        **task.drawing,
    )
    scores = {
        f"{name}_z": separability(found.z, found.logits).score,
        f"{name}_w": separability(found.w, found.logits).score,
    }
    for attribute, classifier in classifiers.items():
        scores[f"{name}_accuracy_{attribute}"] = classifier.accuracy
    return scores


# By kind: the measure, and its network.
_MEASURES: dict[str, tuple[Callable[[Task], Scores], str]] = {
    "fid": (_fid, "inception"),
    "kid": (_kid, "inception"),
    "pr": (_precision_recall, "vgg16"),
    "is": (_inception_score, "inception"),
    **dict.fromkeys(PATHS, (_path_length, "lpips")),
    "ls": (_separability, ""),
}
