"""A small classifier of labelled images, trained here in seconds to minutes."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from rich.progress import track

from stylegan_jax.ops import resample

_HELD_OUT = 0.1  # share of the images that only measure the accuracy
_CHUNK = 500  # images classified at once


class _Network(nn.Module):
    """Three convolutions, each but the first after halving, and a dense layer."""

    num_classes: int

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Images in [-1, 1], `[N, R, R, C]`, to logits `[N, num_classes]`."""
        x = images
        for features in (32, 64, 64):
            x = nn.relu(nn.Conv(features, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(self.num_classes)(x.reshape(x.shape[0], -1))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes:
        params: of the network.
        num_classes: what it tells apart.
        accuracy: on images that it was not trained on, 0 to 1.
        resolution: of the images it was trained on, in pixels.
    """

    params: Any
    num_classes: int
    accuracy: float
    resolution: int

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of each class: uint8 or [-1, 1] images `[N, R, R, C]` -> `[N, K]`."""
        logits = _logits(self.num_classes, self.params, images)
        return np.asarray(jax.nn.softmax(logits, axis=1))

    def logit(self, images: Array) -> Array:
        """Logit of class 1 against class 0, of a classifier with these two classes.

        Pure, to be jitted by the caller.

        Args:
            images: `[N, R, R, C]` in [-1, 1]; R may be a multiple of the classifier's
                resolution, and images are made smaller by the mean of cells.

        Returns:
            l, float32 `[N]`, with `softmax([l, -l])` the probabilities of class 1 and
            0: half the difference of the network's outputs.

        Raises:
            ValueError: other than two classes, or images of another size.
        """
        if self.num_classes != 2:
            raise ValueError(
                f"the classifier has {self.num_classes} classes; a logit needs 2"
            )
        size = images.shape[1]
        if size % self.resolution:
            raise ValueError(
                f"images of {size} px are not a multiple of the classifier's "
                f"{self.resolution} px; train one at {size} px or below"
            )
        images = resample.downsample(images, size // self.resolution)
        logits = _Network(2).apply({"params": self.params}, images)
        assert isinstance(logits, Array)
        return (logits[:, 1] - logits[:, 0]) / 2


def train_classifier(
    images: np.ndarray,
    classes: np.ndarray,
    *,
    steps: int = 500,
    batch_size: int = 64,
    seed: int = 0,
    quiet: bool = False,
) -> Classifier:
    """Trains on nine tenths of the images and measures the accuracy on the rest.

    Args:
        images: uint8 `[N, R, R, C]`, R at least 8.
        classes: int `[N]`, from 0.
        steps: minibatches.
        batch_size: images in each.
        seed: of weights, order and choice of the images held out.
        quiet: shows no progress.

    Raises:
        ValueError: too few images to hold some out, or as many labels as images.
    """
    if len(images) < 20 or len(images) != len(classes):
        raise ValueError(
            f"{len(images)} images with {len(classes)} labels: at least 20 images, "
            "each with a label, are needed to train a classifier"
        )
    num_classes = int(classes.max()) + 1
    rng = np.random.RandomState(seed)
    order = rng.permutation(len(images))
    held_out, shown = np.split(order, [max(1, int(_HELD_OUT * len(images)))])
    network, tx = (
        _Network(num_classes),
        optax.adam(optax.cosine_decay_schedule(2e-3, steps)),
    )
    params = network.init(jax.random.key(seed), _scaled(images[:1]))["params"]

    def loss(params: Any, images: Array, classes: Array) -> Array:
        logits = network.apply({"params": params}, images)
        assert isinstance(logits, Array)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
        return losses.mean()

    @jax.jit
    def step(params: Any, state: Any, images: Array, classes: Array) -> Any:
        gradients = jax.grad(loss)(params, _scaled(images), classes)
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in track(range(steps), "training a classifier", disable=quiet):
        chosen = rng.choice(shown, batch_size)
        params, state = step(params, state, images[chosen], classes[chosen])
    found = np.argmax(_logits(num_classes, params, images[held_out]), axis=1)
    accuracy = float(np.mean(found == classes[held_out]))
    return Classifier(params, num_classes, accuracy, images.shape[1])


def _scaled(images: Any) -> Array:
    images = jnp.asarray(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 127.5 - 1
    return images


def _logits(num_classes: int, params: Any, images: np.ndarray) -> np.ndarray:
    network = _Network(num_classes)
    run = jax.jit(lambda params, x: network.apply({"params": params}, _scaled(x)))
    chunks = range(0, len(images), _CHUNK)
    return np.concatenate([run(params, images[i : i + _CHUNK]) for i in chunks])
