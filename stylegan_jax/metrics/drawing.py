"""Features of the images that measures compare: a generator's, and the data's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from rich.progress import track

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
    batch_size: int = 8,
    mesh: Mesh | None = None,
    quiet: bool = False,
) -> np.ndarray:
    """Features of samples without truncation, with new noise, as uint8 images.

    Args:
        generator: what draws them; classes are random.
        network: what looks at them.
        count: images in all.
        seed: of everything random.
        batch_size: images on a device at once.
        mesh: all devices by default.
        quiet: shows no progress.

    Returns:
        float32 `[count, network.size]`.

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

    return streaming.stream(
        compute,
        (generator, network.params),
        count,
        batch_size=batch_size,
        mesh=mesh,
        title=f"{network.name} of samples",
        quiet=quiet,
    )


def features_of_reals(
    source: Source,
    network: FrozenNetwork,
    count: int,
    resolution: int,
    *,
    mirror: bool = False,
    seed: int = 0,
    batch_size: int = 8,
    quiet: bool = False,
) -> np.ndarray:
    """Features of the first images of the data, from the start again if need be.

    Args:
        source: the data.
        network: what looks at them.
        count: images in all.
        resolution: of the images, in pixels.
        mirror: flip each with probability 1/2.
        seed: of the flips.
        batch_size: images at once.
        quiet: shows no progress.

    Returns:
        float32 `[count, network.size]`.
    """
    flips = np.random.Generator(np.random.Philox(seed)).random(count) < 0.5
    found = []
    starts = range(0, count, batch_size)
    for start in track(starts, f"{network.name} of the data", disable=quiet):
        # The last batch is filled up, so that one program does for all.
        places = np.minimum(np.arange(start, start + batch_size), count - 1)
        images = [source.image(int(i) % len(source), resolution) for i in places]
        turned = [
            image[:, ::-1] if mirror and flips[i] else image
            for i, image in zip(places, images, strict=True)
        ]
        found.append(np.asarray(network(as_rgb(np.stack(turned)))))
    return np.concatenate(found)[:count]


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
