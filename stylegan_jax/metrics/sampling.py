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
from stylegan_jax.metrics import draws, streaming
from stylegan_jax.metrics.checks import require_finite
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.frechet import RunningStatistics, Statistics
from stylegan_jax.metrics.store import Rows, Store, digest
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Images:
    """Images as one feature network represents them."""

    network: FrozenNetwork
    count: int
    compute: Callable[[Any, Any], Array]  # of `arrays`, as of `streaming.chunks`
    arrays: Any
    name: Callable[[int], str]  # of an image, for errors
    identify: Callable[[], dict[str, Any]]  # JSON of all that they depend on; slow
    lasting: bool  # cached after the measure has been taken
    options: dict[str, Any]  # of `streaming.chunks`

    def chunks(self, start: int) -> Iterator[np.ndarray]:
        """Features from an index on, float32 `[N, size]`; UserError if not finite."""
        found = streaming.chunks(
            self.compute, self.arrays, self.count, start=start, **self.options
        )
        for (chunk,) in found:
            first = start
            require_finite(chunk, name=lambda row, first=first: self.name(first + row))
            start += len(chunk)
            yield chunk

    def features(self, store: Store) -> np.ndarray:
        """All features, `[count, size]`."""
        key = self._key(store, "features")
        rows = store.accumulate(
            key, Rows, self.chunks, self.count, lasting=self.lasting
        )
        return rows.joined()[0]

    def statistics(self, store: Store) -> Statistics:
        """Mean and covariance, in the memory of one chunk."""
        key = self._key(store, "statistics")

        def chunks(start: int) -> Iterator[np.ndarray]:
            # Features of the data may be cached by another measure.
            found = store.file({**key, "kind": "features"}).restore()
            if not found:
                yield from self.chunks(start)
                return
            for i in range(start, self.count, streaming.CHUNK):
                yield found["0"][i : i + streaming.CHUNK]

        running = store.accumulate(
            key, RunningStatistics, chunks, self.count, lasting=self.lasting
        )
        return running.statistics()

    def _key(self, store: Store, kind: str) -> dict[str, Any]:
        if not store.needs_keys:
            return {}
        return {
            "kind": kind,
            **self.identify(),
            "network": self.network.name,
            "weights": digest(self.network.params),
            "count": self.count,
            "chunk": streaming.CHUNK,
        }


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

    def compute(arrays: Any, indices: Array) -> Array:
        generator, labels, params = arrays
        z, y, noise = draws.draw_inputs(generator, labels, seed, indices)
        images = generator.sample(z, labels=y, psi=1.0, noise=noise)
        with jax.default_matmul_precision("highest"):
            found = network.function(params, to_rgb_levels(images))
        # As levels, NaNs would be an even grey.
        drawn = jnp.isfinite(images).all(axis=(1, 2, 3))
        return jnp.where(drawn[:, None], found, jnp.nan)

    return Images(
        network,
        count,
        compute,
        (generator, labels, network.params),
        name="sample {}".format,
        identify=lambda: {"generator": generator_key(generator, labels), "seed": seed},
        lasting=False,
        options={"title": f"{network.name} of samples", **options},
    )


def reals(
    source: Source,
    network: FrozenNetwork,
    count: int,
    resolution: int,
    *,
    fingerprint: Callable[[], str] | None = None,
    mirror: bool = False,
    seed: int = 0,
    **options: Any,
) -> Images:
    """Images of the data, each once, evenly spaced and in order.

    `count` is at most all; `fingerprint` gives that of these images, if it is known.
    """
    chosen = spread(len(source), count).tolist()
    flips = np.random.Generator(np.random.Philox(seed)).random(len(chosen)) < 0.5

    def image(place: int) -> np.ndarray:
        pixels = source.image(chosen[place], resolution)
        return as_rgb(pixels[:, ::-1] if mirror and flips[place] else pixels)

    def load(places: np.ndarray) -> np.ndarray:
        # Decoding and drawing mostly release the interpreter lock.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode") as pool:
            return np.stack([*pool.map(image, places.tolist())])

    def compute(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return network.function(params, images)

    def identify() -> dict[str, Any]:
        known = fingerprint or (lambda: source.fingerprint(chosen, resolution))
        return {
            "data": known(),
            "size": len(source),
            "resolution": resolution,
            "mirrored by": seed if mirror else None,
            "order": "spread",
        }

    return Images(
        network,
        len(chosen),
        compute,
        network.params,
        name=lambda place: f"image {chosen[place]} of {source.name}",
        identify=identify,
        lasting=True,
        options={"title": f"{network.name} of the data", "load": load, **options},
    )


def generator_key(
    generator: Generator, labels: LabelDistribution | None = None
) -> dict[str, Any]:
    """JSON of what a generator's samples depend on besides the seed."""
    return {
        "arrays": digest((generator, labels)),
        "config": repr(generator.config),
        "resolution": generator.resolution,
    }


def to_rgb_levels(images: Array) -> Array:
    """Images in [-1, 1] as RGB levels, rounded as by `io.images.to_uint8`; float32."""
    levels = jnp.floor(jnp.nan_to_num(images) * 127.5 + 128)
    return as_rgb(jnp.clip(levels, 0, 255))


def as_rgb(images: Any) -> Any:
    """`[N, H, W, C]` with three channels: grey repeated, alpha dropped."""
    if images.shape[-1] <= 2:
        return images[..., :1].repeat(3, axis=-1)
    return images[..., :3]
