"""What a measure is to be taken of: a generator or images, data, options.

Knows how many images of each kind are looked at, and what a score depends on.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from stylegan_jax.data.sources import Source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.io import cache
from stylegan_jax.metrics import collecting
from stylegan_jax.metrics.collecting import Images, generator_key
from stylegan_jax.metrics.label_draws import LabelDistribution, labels_for
from stylegan_jax.metrics.names import COMPARING, Measure
from stylegan_jax.metrics.store import Partial, Store, digest
from stylegan_jax.metrics.streaming import CHUNK
from stylegan_jax.networks.generator import Generator


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
            (`classifiers/own.py`). Scores then bear its name. It is known to the
            cache by its file or its `params`; one without either is not cached.
        seed: of everything random.
        batch_size: images under way at once; scores change by rounding only.
        mesh: the devices; all of all processes by default.
        quiet: shows no progress.
        cache: keeps what was found of the data and of samples so far, and uses it.
        resolution: that images are compared at, in pixels; None: the generator's.
        fingerprint: of the images of the data that are used, where it is known.
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
    """A measure to be taken, and how; `other` are the features if not the usual."""

    made: Generator | Source
    source: Source | None
    measure: Measure
    options: MeasureOptions
    other: FrozenNetwork | None
    files: Store

    @property
    def name(self) -> str:
        """Of the score."""
        return self.measure.name_on(self.other.name if self.other else None)

    @property
    def compares(self) -> bool:
        """Whether images of the data are looked at."""
        return self.measure.kind in COMPARING

    @property
    def uses_data(self) -> bool:
        """Whether images of the data, or its labels, matter."""
        return self.compares or self.measure.kind == "ls" or self.labels is not None

    @property
    def count(self) -> int:
        """Images asked for."""
        assert self.measure.count is not None
        return self.measure.count

    @property
    def num_samples(self) -> int:
        """Samples; of images there are no more than there are."""
        made = self.made
        return self.count if isinstance(made, Generator) else min(self.count, len(made))

    @property
    def num_reals(self) -> int:
        """Images of the data, each used once."""
        assert self.source is not None
        return min(self.count, len(self.source))

    @property
    def resolution(self) -> int:
        """Of the images that are compared."""
        if self.options.resolution is None and not isinstance(self.made, Generator):
            raise UserError("images are compared at a resolution: give one")
        return self.options.resolution or self.generator.resolution

    @property
    def generator(self) -> Generator:
        """What is measured, if it is one."""
        assert isinstance(self.made, Generator)
        return self.made

    @functools.cached_property
    def labels(self) -> LabelDistribution | None:
        """Of the samples of a conditional network."""
        made = self.made
        return labels_for(made, self.source) if isinstance(made, Generator) else None

    @property
    def streaming(self) -> dict[str, Any]:
        """Options of `streaming.chunks`."""
        options = self.options
        return {
            "batch_size": options.batch_size,
            "mesh": options.mesh,
            "quiet": options.quiet,
        }

    def fingerprint(self) -> str:
        """Says which images of the data are used."""
        assert self.source is not None
        return self.options.fingerprint or _fingerprint(
            self.source, self.num_reals, self.resolution
        )

    def weights_of(self, network: FrozenNetwork) -> str:
        """Says which the weights of the features are."""
        file = self.options.features
        return cache.sha256(file) if isinstance(file, Path) else digest(network.params)

    def samples(self, network: FrozenNetwork) -> Images:
        """The generator's, as the network sees them."""
        if not isinstance(self.made, Generator):
            return self._images(network, self.made, self.num_samples, mirror=False)
        return collecting.fakes(
            self.made,
            network,
            self.num_samples,
            labels=self.labels,
            weights=lambda: self.weights_of(network),
            seed=self.options.seed,
            **self.streaming,
        )

    def data(self, network: FrozenNetwork) -> Images:
        """The data's, as the network sees them."""
        assert self.source is not None
        return self._images(
            network, self.source, self.num_reals, mirror=self.options.mirror
        )

    def _images(
        self, network: FrozenNetwork, source: Source, count: int, *, mirror: bool
    ) -> Images:
        is_data = source is self.source
        return collecting.reals(
            source,
            network,
            count,
            self.resolution,
            fingerprint=self.fingerprint
            if is_data
            else lambda: _fingerprint(source, count, self.resolution),
            weights=lambda: self.weights_of(network),
            mirror=mirror,
            seed=self.options.seed,
            **self.streaming,
        )

    def features(self, network: FrozenNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Of the data `[num_reals, size]` and of samples `[num_samples, size]`."""
        images = self.data(network), self.samples(network)
        real, fake = (collecting.features(x, self.files) for x in images)
        return real, fake

    def partial(self, **what: Any) -> Partial:
        """Of samples that are no features of images; `what` they depend on besides."""
        if not self.files.needs_keys:
            return self.files.partial({})
        key = {
            "kind": self.name,
            "generator": generator_key(self.generator, self.labels),
            "seed": self.options.seed,
            "count": self.count,
            "chunk": CHUNK,
        }
        return self.files.partial(key | what)


def _fingerprint(source: Source, count: int, resolution: int) -> str:
    chosen = spread(len(source), count).tolist()
    return source.fingerprint(chosen, resolution)
