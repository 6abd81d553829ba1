"""Features of images, or their mean and covariance, cached and taken up again.

What was found of the data is kept for the next network that is compared with it; what
was computed of samples, only until the measure has been taken.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stylegan_jax.data.sources import Source
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import drawing, store, streaming
from stylegan_jax.metrics.label_draws import LabelDistribution
from stylegan_jax.metrics.statistics import RunningStatistics, Statistics
from stylegan_jax.metrics.store import Partial, Store
from stylegan_jax.networks.generator import Generator

Chunks = Callable[[int], Iterator[np.ndarray]]  # of features, from a start on


@dataclasses.dataclass(frozen=True)
class Images:
    """Some images, as one network sees them.

    Attributes:
        chunks: their features from `start` on.
        count: how many there are.
        identify: gives all that the features depend on, as JSON; may take a while.
        lasting: worth keeping when the measure has been taken.
    """

    chunks: Chunks
    count: int
    identify: Callable[[], dict[str, Any]]
    lasting: bool


def fakes(
    generator: Generator,
    network: FrozenNetwork,
    count: int,
    *,
    labels: LabelDistribution | None,
    weights: Callable[[], str],
    seed: int,
    **options: Any,
) -> Images:
    """Samples of a generator.

    Args:
        generator: what draws them.
        network: what looks at them.
        count: how many.
        labels: of conditional networks.
        weights: says which weights the network has.
        seed: of everything random.
        options: of `streaming.chunks`.
    """

    def chunks(start: int) -> Iterator[np.ndarray]:
        return drawing.features_of_fakes(
            generator,
            network,
            count,
            labels=labels,
            seed=seed,
            start=start,
            **options,
        )

    def identify() -> dict[str, Any]:
        key = {"generator": generator_key(generator, labels), "seed": seed}
        return key | _network_key(network, weights, count)

    return Images(chunks, count, identify, lasting=False)


def reals(
    source: Source,
    network: FrozenNetwork,
    count: int,
    resolution: int,
    *,
    fingerprint: Callable[[], str],
    weights: Callable[[], str],
    mirror: bool,
    seed: int,
    **options: Any,
) -> Images:
    """Images of the data, at a resolution, half of them flipped if `mirror`.

    `count` is at most what there are; `fingerprint` says which they are. Otherwise as
    `fakes`.
    """

    def chunks(start: int) -> Iterator[np.ndarray]:
        return drawing.features_of_reals(
            source,
            network,
            count,
            resolution,
            mirror=mirror,
            seed=seed,
            start=start,
            **options,
        )

    def identify() -> dict[str, Any]:
        key = {
            "data": fingerprint(),
            "size": len(source),
            "resolution": resolution,
            "mirrored by": seed if mirror else None,
            "order": "spread",
        }
        return key | _network_key(network, weights, count)

    return Images(chunks, count, identify, lasting=True)


def generator_key(
    generator: Generator, labels: LabelDistribution | None = None
) -> dict[str, Any]:
    """What a generator's samples depend on besides the seed."""
    return {
        "arrays": store.digest((generator, labels)),
        "config": repr(generator.config),
        "resolution": generator.resolution,
    }


def _network_key(
    network: FrozenNetwork, weights: Callable[[], str], count: int
) -> dict[str, Any]:
    return {
        "network": network.name,
        "weights": weights(),
        "count": count,
        "chunk": streaming.CHUNK,
    }


def features(images: Images, files: Store) -> np.ndarray:
    """All features, `[count, size]`."""
    key = _key(images, files, "features")
    found = files.read(key) if images.lasting else {}
    return found["0"] if found else _collected(images, key, files)


def statistics(images: Images, files: Store) -> Statistics:
    """Mean and covariance, without holding more features than a chunk."""
    key = _key(images, files, "statistics")
    found = files.read(key) if images.lasting else {}
    if not found:
        partial = files.partial(key)
        whole = files.read({**key, "kind": "features"}) if images.lasting else {}
        if whole:  # another measure left them
            chunks = functools.partial(_cut, whole["0"])
            images = dataclasses.replace(images, chunks=chunks)
        found = _fields(_accumulated(images, partial))
        if images.lasting:
            files.write(key, found)
            partial.remove()
    return _running(found).statistics()


def _key(images: Images, files: Store, kind: str) -> dict[str, Any]:
    return {"kind": kind, **(images.identify() if files.needs_keys else {})}


def _cut(features: np.ndarray, start: int) -> Iterator[np.ndarray]:
    for i in range(start, len(features), streaming.CHUNK):
        yield features[i : i + streaming.CHUNK]


def _collected(images: Images, key: store.Key, files: Store) -> np.ndarray:
    partial = files.partial(key)
    kept = partial.restore()
    done = [kept["0"]] if kept else []
    for chunk in images.chunks(sum(map(len, done))):
        done.append(chunk)
        if sum(map(len, done)) < images.count:
            partial.save(lambda: {"0": np.concatenate(done)})
    whole = np.concatenate(done)
    if images.lasting:
        files.write(key, {"0": whole})
        partial.remove()
    return whole


def _accumulated(images: Images, partial: Partial) -> RunningStatistics:
    kept = partial.restore()
    running = _running(kept) if kept else None
    for chunk in images.chunks(running.count if running else 0):
        running = running or RunningStatistics(chunk.shape[1])
        running.add(chunk)
        if running.count < images.count:
            partial.save(lambda so_far=running: _fields(so_far))
    assert running is not None  # there is at least one image
    return running


def _fields(running: RunningStatistics) -> store.Arrays:
    return {
        "count": np.asarray(running.count),
        "mean": running.mean,
        "scatter": running.scatter,
    }


def _running(fields: store.Arrays) -> RunningStatistics:
    running = RunningStatistics(len(fields["mean"]))
    running.count = int(fields["count"])
    running.mean, running.scatter = fields["mean"].copy(), fields["scatter"].copy()
    return running
