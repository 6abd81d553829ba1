"""One measure of a generator, from its name to its scores.

    options = MeasureOptions(mirror=True)
    scores = take(generator, source, Measure("fid", 5000), options)

Knows which networks look at the images, where their weights are, and which formula
follows; it knows nothing of command lines and of runs.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.common.errors import UserError
from stylegan_jax.data.sources import Source
from stylegan_jax.features import inception, lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import drawing, frechet, kernel, precision_recall, statistics
from stylegan_jax.metrics.attribute_classifiers import classifiers_for
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.path_length import path_length
from stylegan_jax.metrics.separability import sample_for_separability, separability
from stylegan_jax.networks.generator import Generator

Scores = dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How a measure is taken.

    Attributes:
        mirror: half of the images of the data are flipped, as in training.
        inception: a copy of Inception's weights; None fetches them once.
        vgg16: likewise of VGG16's.
        lpips: likewise of LPIPS's weights of channels.
        classifiers: a file of classifiers for separability; made if it is not there.
        features: another network in the place of all of these, or its file.
        seed: of everything random.
        batch_size: images under way at once; scores change by rounding only.
        quiet: shows no progress.
        cache: keeps what was found of the data and of samples so far, and uses it.
    """

    mirror: bool = False
    inception: Path | None = None
    vgg16: Path | None = None
    lpips: Path | None = None
    classifiers: Path | None = None
    features: FrozenNetwork | Path | None = None
    seed: int = 0
    batch_size: int = 32
    quiet: bool = False
    cache: bool = True


def take(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    """Takes one measure.

    Args:
        generator: what is measured.
        source: the data to compare with.
        measure: which, and on how many images.
        options: weights, seed and batches.

    Returns:
        Scores by name.

    Raises:
        UserError: weights cannot be had, or the data or the generator does not allow
            the measure.
    """
    if generator.resolution == 1:
        raise UserError(
            "this network draws points; measure them with python -m "
            "stylegan_jax.coverage RUN"
        )
    return _MEASURES[measure.kind](generator, source, measure, options)


def _both_features(
    generator: Generator,
    source: Source,
    network: FrozenNetwork,
    measure: Measure,
    options: MeasureOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the data and of samples, `[count, size]` each."""
    shared: dict[str, Any] = {
        "batch_size": options.batch_size,
        "seed": options.seed,
        "quiet": options.quiet,
    }
    real = drawing.features_of_reals(
        source,
        network,
        measure.count,
        generator.resolution,
        mirror=options.mirror,
        **shared,
    )
    fake = drawing.features_of_fakes(generator, network, measure.count, **shared)
    return real, fake


def _fid(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    network = inception.extractor(inception.load(options.inception))
    real, fake = _both_features(generator, source, network, measure, options)
    distance = frechet.frechet_distance(
        statistics.statistics_of([real]), statistics.statistics_of([fake])
    )
    return {measure.name: distance}


def _kid(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    network = inception.extractor(inception.load(options.inception))
    real, fake = _both_features(generator, source, network, measure, options)
    size = min(1000, measure.count)
    return {measure.name: kernel.kernel_distance(real, fake, subset_size=size).mean}


def _precision_recall(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    network = vgg16.fc2_extractor(vgg16.load(options.vgg16, dense=True))
    real, fake = _both_features(generator, source, network, measure, options)
    found = precision_recall.precision_recall(real, fake)
    return {
        f"{measure.name}_precision": found.precision,
        f"{measure.name}_recall": found.recall,
    }


def _inception_score(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    params = inception.load(options.inception)
    logits = drawing.features_of_fakes(
        generator,
        inception.extractor(params, "logits_unbiased"),
        measure.count,
        batch_size=options.batch_size,
        seed=options.seed,
        quiet=options.quiet,
    )
    mean, std = inception_score(logits)
    return {f"{measure.name}_mean": mean, f"{measure.name}_std": std}


def _path_length(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    params = lpips.load(trunk=options.vgg16, linear=options.lpips)
    _, path = measure.kind.split("_")
    found = path_length(
        generator,
        lambda a, b: lpips.distance(params, drawing.as_rgb(a), drawing.as_rgb(b)),
        space="z" if path[0] == "z" else "w",
        sampling="end" if path[1:] == "end" else "full",
        count=measure.count,
        seed=options.seed,
        batch_size=options.batch_size,
        quiet=options.quiet,
    )
    return {measure.name: found.score}


def _separability(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    classifiers = classifiers_for(
        source, generator.resolution, file=options.classifiers, quiet=options.quiet
    )
    found = sample_for_separability(
        generator,
        classifiers,
        measure.count,
        options.seed,
        batch_size=options.batch_size,
        quiet=options.quiet,
    )
    return {
        f"{measure.name}_z": separability(found.z, found.logits).score,
        f"{measure.name}_w": separability(found.w, found.logits).score,
    } | {
        f"{measure.name}_accuracy_{name}": classifier.accuracy
        for name, classifier in classifiers.items()
    }


_MEASURES: dict[str, Callable[..., Scores]] = {
    "fid": _fid,
    "kid": _kid,
    "pr": _precision_recall,
    "is": _inception_score,
    **dict.fromkeys(("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend"), _path_length),
    "ls": _separability,
}
