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
from stylegan_jax.metrics.store import Partial, Store
from stylegan_jax.metrics.streaming import CHUNK
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Settings of a measure; paths are the user's copies of weights.

    Attributes:
        mirror: flips half of the images of the data, as in training.
        inception: None fetches Inception's weights once.
        vgg16: likewise of VGG16's.
        lpips: likewise of LPIPS's channel weights.
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
    """A measure and its inputs; `other` are the user's features."""

    made: Generator | Source
    source: Source | None
    measure: Measure
    options: MeasureOptions
    other: FrozenNetwork | None
    files: Store

    @property
    def name(self) -> str:
        """Name of the score."""
        return self.measure.name_on(self.other.name if self.other else None)

    @property
    def uses_data(self) -> bool:
        """Whether images of the data, or its labels, are used."""
        measure = self.measure
        return measure.compares or measure.kind == "ls" or self.labels is not None

    @property
    def count(self) -> int:
        """Number of images asked for."""
        assert self.measure.count is not None
        return self.measure.count

    @property
    def num_samples(self) -> int:
        """Number of samples; of images at most all."""
        made = self.made
        return self.count if isinstance(made, Generator) else min(self.count, len(made))

    @property
    def num_reals(self) -> int:
        """Number of images of the data, each used once."""
        assert self.source is not None
        return min(self.count, len(self.source))

    @property
    def resolution(self) -> int:
        """Side of the compared images."""
        if self.options.resolution is None and not isinstance(self.made, Generator):
            raise UserError("images are compared at a resolution: give one")
        return self.options.resolution or self.generator.resolution

    @property
    def generator(self) -> Generator:
        """The measured generator."""
        assert isinstance(self.made, Generator)
        return self.made

    @functools.cached_property
    def labels(self) -> LabelDistribution | None:
        """Label distribution of a conditional network's samples."""
        made = self.made
        return labels_for(made, self.source) if isinstance(made, Generator) else None

    @property
    def drawing(self) -> dict[str, Any]:
        """Options of all functions that draw samples."""
        options = self.options
        names = ("seed", "batch_size", "mesh", "quiet")
        return {name: getattr(options, name) for name in names}

    def fingerprint(self) -> str:
        """Digest of the images of the data that are used."""
        assert self.source is not None
        known = self.options.fingerprint
        return known or self._fingerprint(self.source, self.num_reals)

    def _fingerprint(self, source: Source, count: int) -> str:
        chosen = spread(len(source), count).tolist()
        return source.fingerprint(chosen, self.resolution)

    def samples(self, network: FrozenNetwork) -> sampling.Images:
        """Generated images, as seen by `network`."""
        made, count = self.made, self.num_samples
        if isinstance(made, Generator):
            return sampling.fakes(
                made, network, count, labels=self.labels, **self.drawing
            )
        mark = functools.partial(self._fingerprint, made, count)
        if made is self.source:
            mark = self.fingerprint
        return sampling.reals(
            made, network, count, self.resolution, fingerprint=mark, **self.drawing
        )

    def data(self, network: FrozenNetwork) -> sampling.Images:
        """Images of the data, as seen by `network`."""
        assert self.source is not None
        return sampling.reals(
            self.source,
            network,
            self.num_reals,
            self.resolution,
            fingerprint=self.fingerprint,
            mirror=self.options.mirror,
            **self.drawing,
        )

    def features(self, network: FrozenNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Features of data `[num_reals, size]` and samples `[num_samples, size]`."""
        images = self.data(network), self.samples(network)
        real, fake = (sampling.features(x, self.files) for x in images)
        return real, fake

    def partial(self, **of: Callable[[], str]) -> Partial:
        """Partial results other than features, which also depend on `of`."""
        if not self.files.needs_keys:
            return self.files.partial({})
        key = {
            "kind": self.name,
            "generator": sampling.generator_key(self.generator, self.labels),
            "seed": self.options.seed,
            "count": self.count,
            "chunk": CHUNK,
        }
        return self.files.partial(key | {name: what() for name, what in of.items()})


def make_task(
    made: Generator | Source,
    source: Source | None,
    measure: Measure,
    options: MeasureOptions,
) -> Task:
    """Task of a measure; raises UserError if data or `made` do not allow it."""
    if isinstance(made, Generator) and made.resolution == 1:
        raise UserError(
            "this network draws points; measure them with python -m "
            "stylegan_jax.coverage RUN"
        )
    if not isinstance(made, Generator) and not (
        measure.compares or measure.kind == "is"
    ):
        raise UserError(
            f"{measure.name} is a measure of networks, and {made.name} is images; "
            "take fid, kid, pr or is"
        )
    require_enough(source, measure)
    measure = counted(made, source, measure)
    other = options.features
    other = own.load(other) if isinstance(other, Path) else other
    nameless = other is not None and not other.params
    files = Store(enabled=options.cache and not nameless)
    return Task(made, source, measure, options, other, files)


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
