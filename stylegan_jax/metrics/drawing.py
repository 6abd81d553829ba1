"""Features of the images that measures compare: a generator's, and the data's."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.data.sources import Source
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import streaming
from stylegan_jax.networks.generator import Generator


def features_of_fakes(
    generator: Generator,
    network: FrozenNetwork,
    count: int,
    *,
    seed: int = 0,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Features of samples without truncation, with new noise, as uint8 images.

    Args:
        generator: what draws them; classes are random.
        network: what looks at them.
        count: images in all.
        seed: of everything random.
        options: `batch_size` and others of `streaming.chunks`.

    Returns:
        float32 `[N, network.size]`, one chunk after the other.

    Source: `metrics/frechet_inception_distance.py`, NVlabs/stylegan
    (`is_validation=True`, `randomize_noise=True`).
    """

    def compute(networks: Any, indices: Array) -> Array:
        generator, params = networks
        keys = streaming.sample_keys(seed, indices, 3)
        images = generator.sample(
            streaming.draw_normal(keys[0], generator.config.z_dim),
            labels=streaming.draw_labels(generator, keys[1]),
            psi=1.0,
            noise=streaming.draw_noise(generator, keys[2], "random"),
        )
        with jax.default_matmul_precision("highest"):
            return network.function(params, to_rgb_levels(images))

    return streaming.chunks(
        compute,
        (generator, network.params),
        count,
        title=f"{network.name} of samples",
        **options,
    )


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
    """Features of the first images of the data, from the start again if need be.

    Args:
        source: the data.
        network: what looks at them.
        count: images in all.
        resolution: of the images, in pixels.
        mirror: flip each with probability 1/2.
        seed: of the flips.
        options: `batch_size` and others of `streaming.chunks`.

    Yields:
        float32 `[N, network.size]`, one chunk after the other.
    """
    flips = np.random.Generator(np.random.Philox(seed)).random(count) < 0.5

    def image(index: int) -> np.ndarray:
        pixels = source.image(index % len(source), resolution)
        return as_rgb(pixels[:, ::-1] if mirror and flips[index] else pixels)

    def compute(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return network.function(params, images)

    # Decoding and drawing release the interpreter lock for most of their time.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16), "decode") as pool:
        yield from streaming.chunks(
            compute,
            network.params,
            count,
            load=lambda indices: np.stack([*pool.map(image, indices.tolist())]),
            title=f"{network.name} of the data",
            **options,
        )


def to_rgb_levels(images: Array) -> Array:
    """Images in [-1, 1] as `common.images.to_uint8` makes them, with three channels.

    Under `jit`; float32, whole numbers from 0 to 255.
    """
    levels = jnp.floor(jnp.nan_to_num(images) * 127.5 + 128)
    return as_rgb(jnp.clip(levels, 0, 255))


def as_rgb(images: Any) -> Any:
    """`[N, H, W, C]` with three channels: grey repeated, alpha left out."""
    if images.shape[-1] <= 2:
        return images[..., :1].repeat(3, axis=-1)
    return images[..., :3]
