"""The images that measures compare: a generator's, and the data's.

Both streams are functions of a seed and the index of an image, so that the size of a
batch and the number of devices do not change which images are compared.
"""

from collections.abc import Iterator

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from stylegan_jax import parallel
from stylegan_jax.common import images
from stylegan_jax.data.sources import Source
from stylegan_jax.networks.generator import Generator


def fakes(
    generator: Generator,
    count: int,
    *,
    mesh: Mesh,
    seed: int = 0,
    batch_size: int = 32,
    labels: Source | None = None,
) -> Iterator[np.ndarray]:
    """Draws images without truncation and with fresh noise, as the official code does.

    Args:
        generator: what to draw with.
        count: images in all.
        mesh: the devices; each draws its part of a batch.
        seed: of latents and noise.
        batch_size: images per batch, rounded up to a multiple of the devices.
        labels: where a conditional generator takes its labels, in the data's order.

    Yields:
        uint8 `[n, H, W, C]`, at most `batch_size` at a time.

    Source: `metrics/frechet_inception_distance.py`, NVlabs/stylegan
    (`is_validation=True`, `randomize_noise=True`).
    """
    size = -(-batch_size // mesh.size) * mesh.size
    generator = jax.device_put(generator, parallel.replicated(mesh))
    draw = _make_draw(mesh)
    for start in range(0, count, size):
        indices = np.arange(start, start + size, dtype=np.uint32)
        inputs = {"index": indices}
        if generator.config.label_size:
            assert labels is not None
            chosen = [labels.label(int(i) % len(labels)) for i in indices]
            inputs["labels"] = np.stack(chosen)
        drawn = draw(generator, np.uint32(seed), parallel.put_batch(inputs, mesh))
        yield images.to_uint8(jax.device_get(drawn)[: count - start])


def _make_draw(mesh: Mesh):
    def draw(generator: Generator, seed: Array, inputs: dict[str, Array]) -> Array:
        key = jax.random.key(seed)

        def inputs_of(index: Array) -> tuple[Array, tuple[Array, ...]]:
            z_key, noise_key = jax.random.split(jax.random.fold_in(key, index))
            z = jax.random.normal(z_key, (generator.config.z_dim,))
            noise = generator.draw_noise(noise_key, 1)
            return z, jax.tree.map(lambda image: image[0], noise)

        z, noise = jax.vmap(inputs_of)(inputs["index"])
        return generator.sample(z, labels=inputs.get("labels"), psi=1.0, noise=noise)

    everywhere, batched = parallel.replicated(mesh), parallel.split(mesh)
    return jax.jit(
        draw,
        in_shardings=(everywhere, everywhere, batched),
        out_shardings=batched,
    )


def reals(
    source: Source,
    count: int,
    resolution: int,
    *,
    mirror: bool = False,
    seed: int = 0,
    batch_size: int = 32,
) -> Iterator[np.ndarray]:
    """The first images of the data, from the start again where there are fewer.

    Args:
        source: the data.
        count: images in all.
        resolution: of the images, in pixels.
        mirror: flip each with probability 1/2.
        seed: of the flips.
        batch_size: images per batch.

    Yields:
        uint8 `[n, resolution, resolution, C]`.
    """
    flips = np.random.Generator(np.random.Philox(seed)).random(count) < 0.5
    for start in range(0, count, batch_size):
        places = range(start, min(start + batch_size, count))
        batch = [source.image(i % len(source), resolution) for i in places]
        flipped = [
            image[:, ::-1] if mirror and flips[i] else image
            for i, image in zip(places, batch, strict=True)
        ]
        yield np.stack(flipped)


def as_rgb(batch: np.ndarray) -> np.ndarray:
    """uint8 `[N, H, W, C]` with three channels: grey repeated, alpha left out."""
    channels = batch.shape[-1]
    if channels <= 2:
        return np.repeat(batch[..., :1], 3, axis=-1)
    return batch[..., :3]
