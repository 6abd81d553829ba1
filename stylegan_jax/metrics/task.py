"""Tasks of measures: what is compared, numbers of images, and cache keys."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from stylegan_jax.classifiers import own
from stylegan_jax.data.sources import Source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import sampling
from stylegan_jax.metrics.draws import LabelDistribution, labels_for
from stylegan_jax.metrics.names import KINDS, Measure
from stylegan_jax.metrics.store import Store, digest
from stylegan_jax.metrics.streaming import CHUNK
from stylegan_jax.networks.generator import Generator

_INCEPTION = 2048  # features; FID of fewer images is far too large


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Settings of a measure; paths are copies of weights, by default fetched once."""

    mirror: bool = False  # flips half of the images of the data, as in training
    inception: Path | None = None
    vgg16: Path | None = None
    lpips: Path | None = None  # LPIPS's channel weights
    classifiers: Path | None = None  # for separability; written if missing
    # In place of all of these; scores bear its name. Not cached without `params`.
    features: FrozenNetwork | str | Path | None = None
    seed: int = 0
    batch_size: int = 32  # images under way at once; scores change by rounding only
    mesh: Mesh | None = None  # all devices of all processes
    quiet: bool = False
    cache: bool = True  # keeps results of the data, and of samples so far
    # Of the compared images; by default the generator's or smallest generated image's.
    resolution: int | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A measure and its inputs."""

    made: Generator | Source
    source: Source | None
    measure: Measure
    options: MeasureOptions
    name: str  # of the score
    other: FrozenNetwork | None  # the user's features
    resolution: int  # of the compared images
    num_samples: int  # of images at most all
    chosen: list[int]  # images of the data, each used once
    labels: LabelDistribution | None  # of a conditional network's samples
    store: Store

    @property
    def generator(self) -> Generator:
        """The measured generator."""
        assert isinstance(self.made, Generator)
        return self.made

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of the images of the data that are used."""
        assert self.source is not None
        return self.source.fingerprint(self.chosen, self.resolution)

    @property
    def drawing(self) -> dict[str, Any]:
        """Options of all functions that draw samples."""
        names = ("seed", "batch_size", "mesh", "quiet")
        return {name: getattr(self.options, name) for name in names}

    def about(self) -> dict[str, Any]:
        """JSON description of what a score depends on; nothing is drawn or decoded.

        "samples"; with data also its name ("data"), its size ("images"), the number
        used ("reals"), their "fingerprint", and the "resolution".
        """
        found: dict[str, Any] = {"samples": self.num_samples}
        source, measure, labels = self.source, self.measure, self.labels
        used = measure.compares or measure.kind == "ls" or labels is not None
        if source is None or not used:
            return found
        found |= {"data": source.name, "images": len(source)}
        if measure.compares:
            # Process 0 alone reads files.
            mark = self.fingerprint if jax.process_index() == 0 else ""
            found |= {"reals": len(self.chosen), "fingerprint": mark}
            found["resolution"] = self.resolution
        if labels is not None:
            found["labels"] = digest(labels)
        fewest = min(self.num_samples, len(self.chosen))
        if measure.kind == "fid" and fewest <= _INCEPTION:
            found["note"] = (
                f"too large by a bias that falls with the number: compare {self.name} "
                "with scores of the same number only"
            )
        return found

    def images(self, network: FrozenNetwork) -> tuple[sampling.Images, sampling.Images]:
        """Images of the data and samples, as seen by `network`."""
        assert self.source is not None
        data = sampling.reals(
            self.source,
            network,
            len(self.chosen),
            self.resolution,
            fingerprint=lambda: self.fingerprint,
            mirror=self.options.mirror,
            **self.drawing,
        )
        return data, self.samples(network)

    def samples(self, network: FrozenNetwork) -> sampling.Images:
        """Generated images, as seen by `network`."""
        made, count = self.made, self.num_samples
        if isinstance(made, Generator):
            return sampling.fakes(
                made, network, count, labels=self.labels, **self.drawing
            )
        return sampling.reals(made, network, count, self.resolution, **self.drawing)

    def resumed(self, **arrays: Any) -> dict[str, Any]:
        """Options of `streaming.stream` for results that also depend on `arrays`."""
        if not self.store.needs_keys:
            return {"store": self.store}
        key = {
            "kind": self.name,
            "generator": sampling.generator_key(self.generator, self.labels),
            "seed": self.options.seed,
            "count": self.num_samples,
            "chunk": CHUNK,
        }
        key |= {name: digest(tree) for name, tree in arrays.items()}
        return {"store": self.store, "key": key}


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
    require_enough(source, measure)
    resolution = options.resolution or (made.resolution if drawn else made.side)
    if resolution is None:
        raise UserError(
            "the generated images are of any size; give the resolution to compare at"
        )
    reals = len(source) if source is not None else 0
    measure = measure.on(reals if drawn else max(reals, len(made)))
    assert measure.count is not None
    other = own_features(measure, options)
    nameless = other is not None and not other.params
    return Task(
        made,
        source,
        measure,
        options,
        name=measure.name_on(other.name if other else None),
        other=other,
        resolution=resolution,
        num_samples=measure.count if drawn else min(measure.count, len(made)),
        chosen=spread(reals, measure.count).tolist(),
        labels=labels_for(made, source) if drawn else None,
        store=Store(enabled=options.cache and not nameless),
    )


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


def own_features(measure: Measure, options: MeasureOptions) -> FrozenNetwork | None:
    """The user's features, if a measure takes any; UserError if it cannot."""
    given = options.features
    if given is None or measure.kind == "ls":
        return None
    network = own.load(given) if isinstance(given, str | Path) else given
    if measure.kind == "is":
        raise UserError(
            f"{measure.name} is a score of Inception's classes, and {network.name} has "
            "none; leave the features out, or take fid, kid, pr or ppl"
        )
    return network
