"""One measure of a generator, from its name to its scores.

    options = MeasureOptions(mirror=True)
    scores = take(generator, source, Measure("fid", 5000), options)

Knows which networks look at the images, where their weights are, and which formula
follows; it knows nothing of command lines and of runs.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jax import Array
from jax.sharding import Mesh

from stylegan_jax.common import cache
from stylegan_jax.common.errors import UserError
from stylegan_jax.data.sources import Source
from stylegan_jax.features import inception, lpips, own, vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import collecting, drawing, frechet, kernel, precision_recall
from stylegan_jax.metrics.attribute_classifiers import classifiers_for
from stylegan_jax.metrics.collecting import Images, generator_key
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.path_length import Distance, path_length
from stylegan_jax.metrics.separability import sample_for_separability, separability
from stylegan_jax.metrics.store import Partial, Store, digest
from stylegan_jax.metrics.streaming import CHUNK
from stylegan_jax.networks.generator import Generator

Scores = dict[str, float]
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How a measure is taken.

    Attributes:
        mirror: half of the images of the data are flipped, as in training.
        inception: a copy of Inception's weights; None fetches them once.
        vgg16: likewise of VGG16's.
        lpips: likewise of LPIPS's weights of channels.
        classifiers: a file of classifiers for separability; made if it is not there.
        features: another network in the place of all of these, or its file
            (`features/own.py`). Scores then bear its name. It is known to the cache by
            its file or its `params`; one without either is not cached.
        seed: of everything random.
        batch_size: images under way at once; scores change by rounding only.
        mesh: the devices; all of all processes by default.
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
    mesh: Mesh | None = None
    quiet: bool = False
    cache: bool = True


def take(
    generator: Generator, source: Source, measure: Measure, options: MeasureOptions
) -> Scores:
    """Takes one measure.

    In several processes all must call this alike; all get the scores. A call that was
    cut short is continued by the next, with the same score.

    Args:
        generator: what is measured.
        source: the data to compare with.
        measure: which, and on how many images.
        options: weights, seed and batches.

    Returns:
        Scores by name.

    Raises:
        UserError: weights cannot be had, or the data, the generator or the features
            do not allow the measure.
    """
    if generator.resolution == 1:
        raise UserError(
            "this network draws points; measure them with python -m "
            "stylegan_jax.coverage RUN"
        )
    other = options.features
    if isinstance(other, Path):
        other = own.load(other)
    nameless = other is not None and not other.params
    known = not nameless or isinstance(options.features, Path)
    files = Store(enabled=options.cache and known)
    task = _Task(generator, source, measure, options, other, files)
    scores = _MEASURES[measure.kind](task)
    files.finish()
    return scores


@dataclasses.dataclass(frozen=True)
class _Task:
    """A measure to be taken, and how; `other` are the features if not the usual."""

    generator: Generator
    source: Source
    measure: Measure
    options: MeasureOptions
    other: FrozenNetwork | None
    files: Store

    @property
    def name(self) -> str:
        """Of the score."""
        return self.measure.name_on(self.other.name if self.other else None)

    @property
    def streaming(self) -> dict[str, Any]:
        """Options of `streaming.chunks`."""
        options = self.options
        return {
            "batch_size": options.batch_size,
            "mesh": options.mesh,
            "quiet": options.quiet,
        }

    def weights_of(self, network: FrozenNetwork) -> str:
        """Says which the weights of the features are."""
        file = self.options.features
        return cache.sha256(file) if isinstance(file, Path) else digest(network.params)

    def samples(self, network: FrozenNetwork) -> Images:
        """The generator's, as the network sees them."""
        return collecting.fakes(
            self.generator,
            network,
            self.measure.count,
            weights=lambda: self.weights_of(network),
            seed=self.options.seed,
            **self.streaming,
        )

    def data(self, network: FrozenNetwork) -> Images:
        """The data's, as the network sees them."""
        return collecting.reals(
            self.source,
            network,
            self.measure.count,
            self.generator.resolution,
            weights=lambda: self.weights_of(network),
            mirror=self.options.mirror,
            seed=self.options.seed,
            **self.streaming,
        )

    def features(self, network: FrozenNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Of the data and of samples, `[count, size]` each."""
        images = self.data(network), self.samples(network)
        real, fake = (collecting.features(x, self.files) for x in images)
        return real, fake

    def partial(self, **what: Any) -> Partial:
        """Of samples that are no features of images; `what` they depend on besides."""
        if not self.files.needs_keys:
            return self.files.partial({})
        key = {
            "kind": self.name,
            "generator": generator_key(self.generator),
            "seed": self.options.seed,
            "count": self.measure.count,
            "chunk": CHUNK,
        }
        return self.files.partial(key | what)


def _inception(task: _Task, output: str = "2048") -> FrozenNetwork:
    path = task.options.inception
    return inception.extractor(_had(path, lambda: inception.load(path)), output)


def _vgg16(task: _Task) -> FrozenNetwork:
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
            f"{error}; or score on features of your own with --features FILE "
            "(docs/metrics.md), which needs no such weights"
        ) from error


# --- The measures ------------------------------------------------------------------


def _fid(task: _Task) -> Scores:
    network = task.other or _inception(task)
    images = task.data(network), task.samples(network)
    real, fake = (collecting.statistics(x, task.files) for x in images)
    return {task.name: frechet.frechet_distance(real, fake)}


def _kid(task: _Task) -> Scores:
    real, fake = task.features(task.other or _inception(task))
    size = min(1000, task.measure.count)
    return {task.name: kernel.kernel_distance(real, fake, subset_size=size).mean}


def _precision_recall(task: _Task) -> Scores:
    real, fake = task.features(task.other or _vgg16(task))
    found = precision_recall.precision_recall(real, fake)
    return {
        f"{task.name}_precision": found.precision,
        f"{task.name}_recall": found.recall,
    }


def _inception_score(task: _Task) -> Scores:
    if task.other is not None:
        raise UserError(
            f"{task.measure.name} is a score of Inception's classes, and features of "
            f"{task.other.name} are none; leave them out, or take fid, kid, pr or ppl"
        )
    images = task.samples(_inception(task, "logits_unbiased"))
    mean, std = inception_score(collecting.features(images, task.files))
    return {f"{task.name}_mean": mean, f"{task.name}_std": std}


def _path_length(task: _Task) -> Scores:
    compare, of = _distance(task)
    _, path = task.measure.kind.split("_")
    found = path_length(
        task.generator,
        compare,
        space="z" if path[0] == "z" else "w",
        sampling="end" if path[1:] == "end" else "full",
        count=task.measure.count,
        seed=task.options.seed,
        partial=task.partial(distance=of() if task.files.needs_keys else ""),
        **task.streaming,
    )
    return {task.name: found.score}


def _distance(task: _Task) -> tuple[Distance, Callable[[], str]]:
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


def _separability(task: _Task) -> Scores:
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
        task.measure.count,
        task.options.seed,
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


_MEASURES: dict[str, Callable[[_Task], Scores]] = {
    "fid": _fid,
    "kid": _kid,
    "pr": _precision_recall,
    "is": _inception_score,
    **dict.fromkeys(("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend"), _path_length),
    "ls": _separability,
}
