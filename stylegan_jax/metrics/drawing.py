"""Features of the images that measures compare: a generator's, and the data's."""

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
from stylegan_jax.metrics import streaming
from stylegan_jax.metrics.finite import require_finite
from stylegan_jax.metrics.label_draws import LabelDistribution, draw_labels
from stylegan_jax.networks.generator import Generator


def features_of_fakes(
    generator: Generator,
    network: FrozenNetwork,
    count: int,
    *,
    labels: LabelDistribution | None = None,
    seed: int = 0,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Features of samples without truncation, with new noise, as uint8 images.

    Args:
        generator: what draws them.
        network: what looks at them.
        count: images in all.
        labels: of conditional networks, drawn for each sample.
        seed: of everything random.
        options: `batch_size` and others of `streaming.chunks`.

    Yields:
        float32 `[N, network.size]`, one chunk after the other.

    Raises:
        UserError: a sample, or its features, are not finite; names it.

    Source: `metrics/frechet_inception_distance.py`, NVlabs/stylegan
    (`is_validation=True`, `randomize_noise=True`).
    """

    def compute(networks: Any, indices: Array) -> Array:
        generator, labels, params = networks
        keys = streaming.sample_keys(seed, indices, 3)
        images = generator.sample(
            streaming.draw_normal(keys[0], generator.config.z_dim),
            labels=draw_labels(generator, labels, keys[1]),
            psi=1.0,
            noise=streaming.draw_noise(generator, keys[2], "random"),
        )
        with jax.default_matmul_precision("highest"):
            found = network.function(params, to_rgb_levels(images))
        # As levels they would be an even grey.
        drawn = jnp.isfinite(images).all(axis=(1, 2, 3))
        return jnp.where(drawn[:, None], found, jnp.nan)

    found = streaming.chunks(
        compute,
        (generator, labels, network.params),
        count,
        title=f"{network.name} of samples",
        **options,
    )
    return _finite(found, options.get("start", 0), "sample {}".format)


def features_of_reals(
    source: Source,
    network: FrozenNetwork,
    count: int,
    resolution: int,
    *,
    mirror: bool = False,
    seed: int = 0,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Features of images of the data, each once, spread over it in its order.

    Args:
        source: the data.
        network: what looks at them.
        count: images in all; all of the data if there are fewer.
        resolution: of the images, in pixels.
        mirror: flip each with probability 1/2.
        seed: of the flips.
        options: `batch_size` and others of `streaming.chunks`.

    Yields:
        float32 `[N, network.size]`, one chunk after the other.

    Raises:
        UserError: features of an image are not finite; names it.
    """
    chosen = spread(len(source), count)
    flips = np.random.Generator(np.random.Philox(seed)).random(len(chosen)) < 0.5

    def image(place: int) -> np.ndarray:
        pixels = source.image(int(chosen[place]), resolution)
        return as_rgb(pixels[:, ::-1] if mirror and flips[place] else pixels)

    def compute(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return network.function(params, images)

    # Decoding and drawing release the interpreter lock for most of their time.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode") as pool:
        found = streaming.chunks(
            compute,
            network.params,
            len(chosen),
            load=lambda places: np.stack([*pool.map(image, places.tolist())]),
            title=f"{network.name} of the data",
            **options,
        )
        start = options.get("start", 0)
        name = lambda place: f"image {chosen[place]} of {source.name}"  # noqa: E731
        yield from _finite(found, start, name)


def _finite(
    found: Iterator[np.ndarray], start: int, name: Callable[[int], str]
) -> Iterator[np.ndarray]:
    """Chunks of features from image `start` on, all of them finite."""
    for chunk in found:
        require_finite(chunk, name=lambda row, start=start: name(start + row))
        start += len(chunk)
        yield chunk


def to_rgb_levels(images: Array) -> Array:
    """Images in [-1, 1] as `io.images.to_uint8` makes them, with three channels.

    Under `jit`; float32, whole numbers from 0 to 255.
    """
    levels = jnp.floor(jnp.nan_to_num(images) * 127.5 + 128)
    return as_rgb(jnp.clip(levels, 0, 255))


def as_rgb(images: Any) -> Any:
    """`[N, H, W, C]` with three channels: grey repeated, alpha left out."""
    if images.shape[-1] <= 2:
        return images[..., :1].repeat(3, axis=-1)
    return images[..., :3]
