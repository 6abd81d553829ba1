"""Features or their statistics of generated and real images, cached."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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

    Attributes:
        chunks: features from an index on, float32 `[N, size]` each; raises UserError
            and names the image if some are not finite.
        identify: JSON of all that the features depend on; may be slow.
        lasting: cached after the measure has been taken.
    """

    chunks: Callable[[int], Iterator[np.ndarray]]
    count: int
    identify: Callable[[], dict[str, Any]]
    lasting: bool


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

    def chunks(start: int) -> Iterator[np.ndarray]:
        found = streaming.chunks(
            compute,
            (generator, labels, network.params),
            count,
            start=start,
            title=f"{network.name} of samples",
            **options,
        )
        return _finite(found, start, "sample {}".format)

    def identify() -> dict[str, Any]:
        return {
            "generator": generator_key(generator, labels),
            "seed": seed,
            **_network_key(network, count),
        }

    return Images(chunks, count, identify, lasting=False)


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

    def compute(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return network.function(params, images)

    def chunks(start: int) -> Iterator[np.ndarray]:
        # Decoding and drawing mostly release the interpreter lock.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode") as pool:
            found = streaming.chunks(
                compute,
                network.params,
                len(chosen),
                start=start,
                load=lambda places: np.stack([*pool.map(image, places.tolist())]),
                title=f"{network.name} of the data",
                **options,
            )
            name = lambda place: f"image {chosen[place]} of {source.name}"  # noqa: E731
            yield from _finite(found, start, name)

    def identify() -> dict[str, Any]:
        return {
            "data": fingerprint(),
            "size": len(source),
            "resolution": resolution,
            "mirrored by": seed if mirror else None,
            "order": "spread",
            **_network_key(network, count),
        }

    return Images(chunks, len(chosen), identify, lasting=True)


def generator_key(
    generator: Generator, labels: LabelDistribution | None = None
) -> dict[str, Any]:
    """JSON of what a generator's samples depend on besides the seed."""
    return {
        "arrays": store.digest((generator, labels)),
        "config": repr(generator.config),
        "resolution": generator.resolution,
    }


def _network_key(network: FrozenNetwork, count: int) -> dict[str, Any]:
    return {
        "network": network.name,
        "weights": store.digest(network.params),
        "count": count,
        "chunk": streaming.CHUNK,
    }


def _finite(
    found: Iterator[np.ndarray], start: int, name: Callable[[int], str]
) -> Iterator[np.ndarray]:
    for chunk in found:
        require_finite(chunk, name=lambda row, start=start: name(start + row))
        start += len(chunk)
        yield chunk


# --- Features and statistics, cached -----------------------------------------------


def features(images: Images, files: Store) -> np.ndarray:
    """All features, `[count, size]`."""
    key = _key(images, files, "features")
    found = files.read(key) if images.lasting else {}
    if found:
        return found["0"]
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


def statistics(images: Images, files: Store) -> Statistics:
    """Mean and covariance, in the memory of one chunk."""
    key = _key(images, files, "statistics")
    found = files.read(key) if images.lasting else {}
    if found:
        return _running(found).statistics()
    partial = files.partial(key)
    # Features may be cached by another measure.
    whole = files.read({**key, "kind": "features"}) if images.lasting else {}
    chunks = (lambda start: _cut(whole["0"], start)) if whole else images.chunks
    kept = partial.restore()
    running = _running(kept) if kept else None
    for chunk in chunks(running.count if running else 0):
        running = running or RunningStatistics(chunk.shape[1])
        running.add(chunk)
        if running.count < images.count:
            partial.save(lambda so_far=running: dict(vars(so_far)))
    assert running is not None  # there is at least one image
    if images.lasting:
        files.write(key, vars(running))
        partial.remove()
    return running.statistics()


def _key(images: Images, files: Store, kind: str) -> dict[str, Any]:
    return {"kind": kind, **(images.identify() if files.needs_keys else {})}


def _cut(features: np.ndarray, start: int) -> Iterator[np.ndarray]:
    for i in range(start, len(features), streaming.CHUNK):
        yield features[i : i + streaming.CHUNK]


def _running(fields: store.Arrays) -> RunningStatistics:
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
