"""Random draws per sample: keys, latents, noise and labels.

They depend on the seed and the sample's index alone. Labels have the data's
frequencies: other ones would count as a difference from the data.
"""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator, Noise


def sample_keys(seed: int, indices: Array, number: int) -> Array:
    """`number` independent keys per sample, typed `[number, N]`, of indices `[N]`."""
    key = jax.random.key(seed)

    def keys_of(index: Array) -> Array:
        return jax.random.split(jax.random.fold_in(key, index), number)

    return jax.vmap(keys_of, out_axes=1)(indices)


def draw_normal(keys: Array, size: int) -> Array:
    """One unit normal vector per key, `[N, size]`."""
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)


def draw_noise(generator: Generator, keys: Array) -> Noise:
    """Noise of one image per key, `[N, R, R, 1]` each."""
    layers = jax.vmap(lambda key: generator.draw_noise(key, 1))(keys)
    return tuple(layer[:, 0] for layer in layers)


@struct.dataclass
class LabelDistribution:
    """Distinct labels, float32 `[K, label_size]`, and their counts, int32 `[K]`."""

    vectors: Array
    counts: Array

    @classmethod
    def even(cls, label_size: int) -> "LabelDistribution":
        """All classes equally likely."""
        return cls(jnp.eye(label_size), jnp.ones(label_size, jnp.int32))

    def draw(self, keys: Array) -> Array:
        """A label per key, float32 `[N, label_size]`; pure."""
        ends = jnp.cumsum(self.counts)
        places = jax.vmap(lambda key: jax.random.randint(key, (), 0, ends[-1]))(keys)
        return self.vectors[jnp.searchsorted(ends, places, side="right")]


def label_distribution(source: Source) -> LabelDistribution:
    """Label distribution of labelled data; reads all labels, no image."""
    labels = (source.label(i).astype(np.float32) for i in range(len(source)))
    counts = Counter(label.tobytes() for label in labels)
    order = sorted(counts)
    vectors = np.frombuffer(b"".join(order), np.float32)
    return LabelDistribution(
        jnp.asarray(vectors.reshape(len(order), source.label_size)),
        jnp.asarray([counts[each] for each in order], jnp.int32),
    )


def labels_for(generator: Generator, source: Source | None) -> LabelDistribution | None:
    """Labels of a network's samples; None if unconditional, UserError if missing."""
    size = generator.config.label_size
    if not size:
        return None
    if source is not None and source.label_size == size:
        return label_distribution(source)
    if source is None:
        given = "no data is known that they could be drawn from"
    else:
        given = f"{source.name} has labels of {source.label_size or 'no classes'}"
    raise UserError(
        f"samples of this network need labels of {size} classes, and {given}; give the "
        "data that it was trained on, with `data.labels` (folders, json or csv; of "
        "TFDS, tfds; of prepared data, stored)"
    )


def draw_labels(
    generator: Generator, labels: LabelDistribution | None, keys: Array
) -> Array | None:
    """A label per key, `[N, label_size]`; None for an unconditional network."""
    size = generator.config.label_size
    if not size:
        return None
    if labels is None or labels.vectors.shape[1] != size:
        raise UserError(
            f"this network has {size} classes: pass labels, label_distribution(source) "
            f"of its data or LabelDistribution.even({size})"
        )
    return labels.draw(keys)


def draw_inputs(
    generator: Generator, labels: LabelDistribution | None, seed: int, indices: Array
) -> tuple[Array, Array | None, Noise]:
    """Latents `[N, z_dim]`, labels and noise of the samples with these indices."""
    keys = sample_keys(seed, indices, 3)
    z = draw_normal(keys[0], generator.config.z_dim)
    y = draw_labels(generator, labels, keys[1])
    return z, y, draw_noise(generator, keys[2])
