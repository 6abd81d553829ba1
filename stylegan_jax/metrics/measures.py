"""One measure of a generator, or of images, from its name to its scores.

    options = MeasureOptions(mirror=True)
    scores = take(generator, source, Measure("fid", 5000), options)

Knows which networks look at the images, where their weights are, and which formula
follows; it knows nothing of command lines and of runs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax import Array

from stylegan_jax.classifiers import own
from stylegan_jax.classifiers.attribute_classifiers import classifiers_for
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.features import inception, lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import collecting, drawing, frechet, kernel, precision_recall
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.names import COMPARING, Measure
from stylegan_jax.metrics.path_length import Distance, path_length
from stylegan_jax.metrics.separability import sample_for_separability, separability
from stylegan_jax.metrics.store import Store, digest
from stylegan_jax.metrics.task import MeasureOptions, Task
from stylegan_jax.networks.generator import Generator

_INCEPTION = 2048  # features; of fewer images the Frechet distance is far too large
Scores = dict[str, float]
T = TypeVar("T")


def take(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> Scores:
    """Takes one measure.

    In several processes all must call this alike; all get the scores. A call that was
    cut short is continued by the next, with the same score.

    Args:
        made: what is measured: a generator, or images (FID, KID, precision and recall,
            inception score).
        source: the data to compare with. Path lengths and the inception score of
            unconditional networks need none.
        measure: which, and on how many images. Of the data each is used once, so there
            may be fewer.
        options: weights, seed and batches.

    Returns:
        Scores by name.

    Raises:
        UserError: weights cannot be had, or the data, the generator or the features
            do not allow the measure.
    """
    task = make_task(made, source, measure, options)
    scores = _MEASURES[measure.kind](task)
    task.files.finish()
    return scores


def about(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> dict[str, Any]:
    """What a score is of, to be kept with it, as JSON; nothing is drawn or decoded.

    Returns:
        "samples": how many. If data is used, "data": its name, "images": how many it
        has, "reals": how many are used, each once, their "fingerprint", and the
        "resolution".

    Raises:
        UserError: the data, or what was made, does not allow the measure.
    """
    task = make_task(made, source, measure, options)
    found: dict[str, Any] = {"samples": task.num_samples}
    if source is None or not task.uses_data:
        return found
    found |= {"data": source.name, "images": len(source)}
    if task.compares:
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


def make_task(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> Task:
    """The task of a measure.

    Raises:
        UserError: the data, or what was made, does not allow the measure.
    """
    if isinstance(made, Generator) and made.resolution == 1:
        raise UserError(
            "this network draws points; measure them with python -m "
            "stylegan_jax.coverage RUN"
        )
    if not isinstance(made, Generator) and measure.kind not in (*COMPARING, "is"):
        raise UserError(
            f"{measure.name} is a measure of networks, and {made.name} is images; "
            "take fid, kid, pr or is"
        )
    require_enough(source, measure)
    measure = counted(made, source, measure)
    other = options.features
    if isinstance(other, Path):
        other = own.load(other)
    nameless = other is not None and not other.params
    known = not nameless or isinstance(options.features, Path)
    files = Store(enabled=options.cache and known)
    return Task(made, source, measure, options, other, files)


def counted(
    made: Generator | Source, source: Source | None, measure: Measure
) -> Measure:
    """The measure with its number of images: all there are, where it says none."""
    there = [x for x in (made, source) if not isinstance(x, Generator | None)]
    return measure.on(max(map(len, there), default=0))


def require_enough(source: Source | None, measure: Measure) -> None:
    """Checks that there is data where the measure compares with it, and enough.

    Raises:
        UserError: there is not.
    """
    if measure.kind not in COMPARING:
        return
    if source is None:
        raise UserError(f"{measure.name} compares with data, and none is given")
    fewest = COMPARING[measure.kind]
    if len(source) < fewest:
        raise UserError(
            f"{source.name} has {len(source)} images, each of which counts once; "
            f"{measure.kind} means nothing with fewer than {fewest}"
        )


def _inception(task: Task, output: str = "2048") -> FrozenNetwork:
    path = task.options.inception
    return inception.extractor(_had(path, lambda: inception.load(path)), output)


def _vgg16(task: Task) -> FrozenNetwork:
    path = task.options.vgg16
    return vgg16.fc2_extractor(_had(path, lambda: vgg16.load(path, dense=True)))


def _had(path: Path | None, load: Callable[[], T]) -> T:
    """What `load` gives; says what else there is if it is to fetch and cannot."""
    try:
        return load()
    except UserError as error:
        if path is not None:
            raise
        raise UserError(
            f"{error}; or score on features of your own with `features` FILE "
            "(docs/metrics.md), which needs no such weights"
        ) from error


# --- The measures ------------------------------------------------------------------


def _fid(task: Task) -> Scores:
    network = task.other or _inception(task)
    images = task.data(network), task.samples(network)
    real, fake = (collecting.statistics(x, task.files) for x in images)
    return {task.name: frechet.frechet_distance(real, fake)}


def _kid(task: Task) -> Scores:
    real, fake = task.features(task.other or _inception(task))
    return {task.name: kernel.kernel_distance(real, fake).mean}


def _precision_recall(task: Task) -> Scores:
    real, fake = task.features(task.other or _vgg16(task))
    found = precision_recall.precision_recall(real, fake)
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
    mean, std = inception_score(collecting.features(images, task.files))
    return {f"{task.name}_mean": mean, f"{task.name}_std": std}


def _path_length(task: Task) -> Scores:
    compare, of = _distance(task)
    _, path = task.measure.kind.split("_")
    found = path_length(
        task.generator,
        compare,
        space="z" if path[0] == "z" else "w",
        sampling="end" if path[1:] == "end" else "full",
        count=task.count,
        labels=task.labels,
        seed=task.options.seed,
        partial=task.partial(distance=of() if task.files.needs_keys else ""),
        **task.streaming,
    )
    return {task.name: found.score}


def _distance(task: Task) -> tuple[Distance, Callable[[], str]]:
    """What compares images, and a function that says which weights it has."""
    options, other = task.options, task.other
    if other is None:
        given = options.vgg16 and options.lpips
        params = _had(
            given, lambda: lpips.load(trunk=options.vgg16, linear=options.lpips)
        )
        return (
            lambda a, b: lpips.distance(params, drawing.as_rgb(a), drawing.as_rgb(b)),
            lambda: digest(params),
        )

    def squared(a: Array, b: Array) -> Array:
        # Not rounded to levels: a step is far below one.
        seen = (drawing.as_rgb(images * 127.5 + 127.5) for images in (a, b))
        found_a, found_b = (other.function(other.params, images) for images in seen)
        return ((found_a - found_b) ** 2).sum(1)

    return squared, lambda: task.weights_of(other)


def _separability(task: Task) -> Scores:
    name, options = task.measure.name, task.options
    classifiers = classifiers_for(
        task.source,
        task.generator.resolution,
        file=options.classifiers,
        cached=options.cache,
        quiet=options.quiet,
    )
    of = {attribute: each.params for attribute, each in classifiers.items()}
    found = sample_for_separability(
        task.generator,
        classifiers,
        task.count,
        task.options.seed,
        labels=task.labels,
        partial=task.partial(
            classifiers=digest(of) if task.files.needs_keys else "",
        ),
        **task.streaming,
    )
    scores = {
        f"{name}_z": separability(found.z, found.logits).score,
        f"{name}_w": separability(found.w, found.logits).score,
    }
    for attribute, classifier in classifiers.items():
        scores[f"{name}_accuracy_{attribute}"] = classifier.accuracy
    return scores


_MEASURES: dict[str, Callable[[Task], Scores]] = {
    "fid": _fid,
    "kid": _kid,
    "pr": _precision_recall,
    "is": _inception_score,
    **dict.fromkeys(("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend"), _path_length),
    "ls": _separability,
}
