"""Tasks of measures: what is compared, numbers of images, and cache keys."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from stylegan_jax.classifiers import own
from stylegan_jax.data.sources import Source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import sampling
from stylegan_jax.metrics.draws import LabelDistribution, labels_for
from stylegan_jax.metrics.names import KINDS, Measure
from stylegan_jax.metrics.store import ResultFile, Store
from stylegan_jax.metrics.streaming import CHUNK
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Settings of a measure; paths are the user's copies of weights.

    Attributes:
        mirror: flips half of the images of the data, as in training.
        inception: None fetches Inception's weights once; the next two likewise.
        lpips: channel weights.
        classifiers: file of classifiers for separability; written if missing.
        features: network in place of all of these, or its file (`classifiers/own.py`);
            scores bear its name. One without `params` is not cached.
        batch_size: images under way at once; scores change by rounding only.
        mesh: all devices of all processes by default.
        cache: keeps and reuses results of the data and of samples so far.
        resolution: of the compared images in pixels; None: the generator's.
        fingerprint: of the images of the data that are used, if known.
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
    resolution: int | None = None
    fingerprint: str | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A measure of `count` images and its inputs.

    `other` are the user's features, `labels` those of a conditional network's samples.
    """

    made: Generator | Source
    source: Source | None
    measure: Measure
    count: int
    options: MeasureOptions
    other: FrozenNetwork | None
    labels: LabelDistribution | None
    files: Store

    @property
    def name(self) -> str:
        """Name of the score."""
        return self.measure.name_on(self.other.name if self.other else None)

    @property
    def generator(self) -> Generator:
        """The measured generator."""
        assert isinstance(self.made, Generator)
        return self.made

    @property
    def num_samples(self) -> int:
        """Number of samples; of images at most all."""
        made = self.made
        return self.count if isinstance(made, Generator) else min(self.count, len(made))

    @property
    def num_reals(self) -> int:
        """Number of images of the data, each used once."""
        return min(self.count, len(self.source)) if self.source is not None else 0

    @property
    def resolution(self) -> int:
        """Side of the compared images."""
        return self.options.resolution or self.generator.resolution

    @property
    def drawing(self) -> dict[str, Any]:
        """Options of all functions that draw samples."""
        names = ("seed", "batch_size", "mesh", "quiet")
        return {name: getattr(self.options, name) for name in names}

    def fingerprint(self, source: Source) -> str:
        """Digest of the images of `source` that are used."""
        if source is self.source and self.options.fingerprint:
            return self.options.fingerprint
        chosen = spread(len(source), min(self.count, len(source)))
        return source.fingerprint(chosen.tolist(), self.resolution)

    def samples(self, network: FrozenNetwork) -> sampling.Images:
        """Generated images, as seen by `network`."""
        made, options = self.made, self.drawing
        if not isinstance(made, Generator):
            return self._images(made, network)
        return sampling.fakes(made, network, self.count, labels=self.labels, **options)

    def data(self, network: FrozenNetwork) -> sampling.Images:
        """Images of the data, as seen by `network`."""
        assert self.source is not None
        return self._images(self.source, network, mirror=self.options.mirror)

    def _images(
        self, source: Source, network: FrozenNetwork, *, mirror: bool = False
    ) -> sampling.Images:
        return sampling.reals(
            source,
            network,
            min(self.count, len(source)),
            self.resolution,
            fingerprint=functools.partial(self.fingerprint, source),
            mirror=mirror,
            **self.drawing,
        )

    def features(self, network: FrozenNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Features of data `[num_reals, size]` and samples `[num_samples, size]`."""
        images = self.data(network), self.samples(network)
        real, fake = (sampling.features(x, self.files) for x in images)
        return real, fake

    def file(self, **of: Callable[[], str]) -> ResultFile:
        """File of results other than features, which also depend on `of`."""
        if not self.files.needs_keys:
            return self.files.file({})
        key = {
            "kind": self.name,
            "generator": sampling.generator_key(self.generator, self.labels),
            "seed": self.options.seed,
            "count": self.count,
            "chunk": CHUNK,
        }
        return self.files.file(key | {name: what() for name, what in of.items()})


def make_task(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> Task:
    """Task of a measure; raises UserError if data or `made` do not allow it."""
    drawn = isinstance(made, Generator)
    if drawn and made.resolution == 1:
        raise UserError(
            "this network draws points; measure them with python -m "
            "stylegan_jax.coverage RUN"
        )
    if not drawn and not (measure.compares or measure.kind == "is"):
        raise UserError(
            f"{measure.name} is a measure of networks, and {made.name} is images; "
            "take fid, kid, pr or is"
        )
    if not drawn and options.resolution is None:
        raise UserError("images are compared at a resolution: give one")
    require_enough(source, measure)
    measure = counted(made, source, measure)
    assert measure.count is not None
    other = own_features(measure, options)
    nameless = other is not None and not other.params
    files = Store(enabled=options.cache and not nameless)
    labels = labels_for(made, source) if drawn else None
    return Task(made, source, measure, measure.count, options, other, labels, files)


def own_features(measure: Measure, options: MeasureOptions) -> FrozenNetwork | None:
    """The user's features; UserError where a measure takes none."""
    given = options.features
    found = own.load(given) if isinstance(given, Path) else given
    if found is not None and measure.kind == "is":
        raise UserError(
            f"{measure.name} is a score of Inception's classes, and {found.name} has "
            "none; leave one of the two out"
        )
    return found


def counted(
    made: Generator | Source, source: Source | None, measure: Measure
) -> Measure:
    """The measure with its number of images: all there are by default."""
    there = [x for x in (made, source) if not isinstance(x, Generator | None)]
    return measure.on(max(map(len, there), default=0))


def require_enough(source: Source | None, measure: Measure) -> None:
    """Raises UserError unless there is enough data to compare with."""
    fewest = KINDS[measure.kind].fewest
    if fewest is None:
        return
    if source is None:
        raise UserError(f"{measure.name} compares with data, and none is given")
    if len(source) < fewest:
        raise UserError(
            f"{source.name} has {len(source)} images, each of which counts once; "
            f"{measure.kind} means nothing with fewer than {fewest}"
        )
