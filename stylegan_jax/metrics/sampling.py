"""Features or their statistics of generated and real images, cached."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.data.sources import Source, spread
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import draws, store, streaming
from stylegan_jax.metrics.checks import require_finite
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.frechet import RunningStatistics, Statistics
from stylegan_jax.metrics.store import Store
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Images:
    """Images as one feature network represents them.

    `identify` gives JSON of what the images depend on, `name` the name of one,
    `results` features from an index on; `lasting` ones are cached for good.
    """

    network: FrozenNetwork
    count: int
    lasting: bool
    identify: Callable[[], dict[str, Any]]
    name: Callable[[int], str]
    results: Callable[..., Iterator[np.ndarray]]

    def chunks(self, start: int) -> Iterator[np.ndarray]:
        """Features from `start` on, float32 `[N, size]` each, all finite."""
        for chunk in self.results(start=start):
            require_finite(chunk, name=lambda row, start=start: self.name(start + row))
            start += len(chunk)
            yield chunk


def fakes(
    generator: Generator,
    network: FrozenNetwork,
    count: int,
    *,
    labels: LabelDistribution | None = None,
    seed: int = 0,
    **options: Any,
) -> Images:
    """Samples without truncation, with new noise, as uint8 images.

    Source: `metrics/frechet_inception_distance.py`, NVlabs/stylegan
    (`is_validation=True`, `randomize_noise=True`).
    """

    def compute(networks: Any, indices: Array) -> Array:
        generator, labels, params = networks
        z, y, noise = draws.draw_inputs(generator, labels, seed, indices)
        images = generator.sample(z, labels=y, psi=1.0, noise=noise)
        with jax.default_matmul_precision("highest"):
            found = network.function(params, to_rgb_levels(images))
        # As levels, NaNs would be an even grey.
        drawn = jnp.isfinite(images).all(axis=(1, 2, 3))
        return jnp.where(drawn[:, None], found, jnp.nan)

    def identify() -> dict[str, Any]:
        return {"generator": generator_key(generator, labels), "seed": seed}

    networks, title = (generator, labels, network.params), f"{network.name} of samples"
    results = partial(
        streaming.chunks, compute, networks, count, title=title, **options
    )
    return Images(network, count, False, identify, "sample {}".format, results)


def reals(
    source: Source,
    network: FrozenNetwork,
    count: int,
    resolution: int,
    *,
    fingerprint: Callable[[], str] = str,
    mirror: bool = False,
    seed: int = 0,
    **options: Any,
) -> Images:
    """Images of the data, each once, evenly spaced and in order.

    `count` is at most all; `fingerprint` identifies the images.
    """
    chosen = spread(len(source), count)
    flips = np.random.Generator(np.random.Philox(seed)).random(len(chosen)) < 0.5

    def image(place: int) -> np.ndarray:
        pixels = source.image(int(chosen[place]), resolution)
        return as_rgb(pixels[:, ::-1] if mirror and flips[place] else pixels)

    def load(places: np.ndarray) -> np.ndarray:
        # Decoding and drawing mostly release the interpreter lock.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode") as pool:
            return np.stack([*pool.map(image, places.tolist())])

    def compute(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return network.function(params, images)

    def identify() -> dict[str, Any]:
        return {
            "data": fingerprint(),
            "size": len(source),
            "resolution": resolution,
            "mirrored by": seed if mirror else None,
            "order": "spread",
        }

    results = partial(
        streaming.chunks,
        compute,
        network.params,
        len(chosen),
        load=load,
        title=f"{network.name} of the data",
        **options,
    )
    name = lambda place: f"image {chosen[place]} of {source.name}"  # noqa: E731
    return Images(network, len(chosen), True, identify, name, results)


def generator_key(
    generator: Generator, labels: LabelDistribution | None = None
) -> dict[str, Any]:
    """JSON of what a generator's samples depend on besides the seed."""
    return {
        "arrays": store.digest((generator, labels)),
        "config": repr(generator.config),
        "resolution": generator.resolution,
    }


# --- Features and statistics, cached -----------------------------------------------


def features(images: Images, files: Store) -> np.ndarray:
    """All features, `[count, size]`."""
    file = files.file(_key(images, files, "features"), lasting=images.lasting)
    return streaming.gather(images.chunks, images.count, file)


def statistics(images: Images, files: Store) -> Statistics:
    """Mean and covariance, in the memory of one chunk."""
    key, lasting = _key(images, files, "statistics"), images.lasting
    file = files.file(key, lasting=lasting)
    running = _running(file.restore())
    start = running.count if running else 0
    chunks = images.chunks
    if lasting and start < images.count:
        # Features may be cached by another measure.
        other = files.file({**key, "kind": "features"}, lasting=True)
        whole = other.restore().get("0", np.zeros(0))
        if len(whole) == images.count:
            chunks = lambda start: _cut(whole, start)  # noqa: E731
    for chunk in chunks(start) if start < images.count else ():
        running = running or RunningStatistics(chunk.shape[1])
        running.add(chunk)
        fields = dict(vars(running))
        file.save(lambda fields=fields: fields, whole=running.count == images.count)
    assert running is not None  # there is at least one image
    return running.statistics()


def _key(images: Images, files: Store, kind: str) -> dict[str, Any]:
    if not files.needs_keys:
        return {"kind": kind}
    return {
        "kind": kind,
        **images.identify(),
        "network": images.network.name,
        "weights": store.digest(images.network.params),
        "count": images.count,
        "chunk": streaming.CHUNK,
    }


def _cut(features: np.ndarray, start: int) -> Iterator[np.ndarray]:
    for i in range(start, len(features), streaming.CHUNK):
        yield features[i : i + streaming.CHUNK]


def _running(fields: store.Arrays) -> RunningStatistics | None:
    if not fields:
        return None
    running = RunningStatistics(len(fields["mean"]))
    running.count = int(fields["count"])
    running.mean, running.scatter = fields["mean"].copy(), fields["scatter"].copy()
    return running


# --- Pixels ------------------------------------------------------------------------


def to_rgb_levels(images: Array) -> Array:
    """Images in [-1, 1] as RGB levels, rounded as by `io.images.to_uint8`; float32."""
    levels = jnp.floor(jnp.nan_to_num(images) * 127.5 + 128)
    return as_rgb(jnp.clip(levels, 0, 255))


def as_rgb(images: Any) -> Any:
    """`[N, H, W, C]` with three channels: grey repeated, alpha dropped."""
    if images.shape[-1] <= 2:
        return images[..., :1].repeat(3, axis=-1)
    return images[..., :3]
