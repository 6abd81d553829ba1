"""Small classifiers of labelled images, several heads to a network, and training."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from stylegan_jax.classifiers import classifier_network
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import Params
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.ops import resample

HEADS = ("heads.weight", "heads.bias")  # the parameters that heads do not share
_HELD_OUT = 0.1  # share of the images held out for the accuracy
_CHUNK = 500  # images classified at once
_LEARNING_RATE = 2e-3  # initial; cosine decay to 0


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier with its accuracy on held-out images, 0 to 1.

    `params` have this head's logits only; `resolution` is the training images'.
    """

    params: Params
    num_classes: int
    accuracy: float
    resolution: int

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.params["conv0.weight"].shape[2]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities `[N, K]` of uint8 or [-1, 1] images `[N, R, R, C]`."""
        return np.asarray(jax.nn.softmax(_logits(self.params, images), axis=1))

    def logit(self, images: Array) -> Array:
        """Half the difference of the outputs of two classes, float32 `[N]`; pure.

        `softmax([l, -l])` are the probabilities of class 1 and 0. Images are in
        [-1, 1]; a multiple of the resolution is reduced by means of cells.
        """
        size, channels = images.shape[1], images.shape[3]
        if self.num_classes != 2 or size % self.resolution or channels != self.channels:
            raise UserError(
                f"a classifier of {self.num_classes} classes takes multiples of "
                f"{self.resolution} px of {self.channels} channels, and a logit needs "
                f"2 classes; train one for images of {size} px and {channels} channels"
            )
        images = resample.downsample(images, size // self.resolution)
        logits = classifier_network.logits(self.params, images)
        return (logits[:, 1] - logits[:, 0]) / 2


def train_classifier(
    images: np.ndarray, classes: np.ndarray, **options: Any
) -> Classifier:
    """`train_heads` with one head: `classes` are int `[N]`, from 0."""
    return train_heads(images, np.asarray(classes)[:, None], **options)[0]


def train_heads(
    images: np.ndarray,
    classes: np.ndarray,
    *,
    steps: int = 500,
    batch_size: int = 64,
    seed: int = 0,
    quiet: bool = False,
) -> list[Classifier]:
    """Trains one network with K heads on nine tenths of the images.

    The loss sums the heads' cross entropies; accuracy is of the other tenth. Images
    are uint8 `[N, R, R, C]`, R at least 8, classes int `[N, K]` from 0. Classifiers
    share all layers but the last. Raises UserError for too few or too small images.
    """
    if len(images) < 20 or len(images) != len(classes):
        raise UserError(
            f"{len(images)} images with {len(classes)} labels: at least 20 images, "
            "each with a label, are needed to train a classifier"
        )
    sizes = [int(size) for size in classes.max(axis=0) + 1]
    ends = np.cumsum(sizes)[:-1]
    resolution, channels = images.shape[1], images.shape[3]
    key = jax.random.key(seed)
    params = classifier_network.init(key, resolution, channels, sum(sizes))
    tx = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, steps))

    def loss(params: Params, images: Array, classes: Array) -> Array:
        heads = jnp.split(_scaled_logits(params, images), ends, axis=1)
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(head, classes[:, index])
            for index, head in enumerate(heads)
        ]
        return sum(losses, jnp.zeros(len(images))).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, images: Array, classes: Array) -> Any:
        updates, state = tx.update(jax.grad(loss)(params, images, classes), state)
        return optax.apply_updates(params, updates), state

    rng = np.random.RandomState(seed)
    order = rng.permutation(len(images))
    held_out, shown = np.split(order, [max(1, int(_HELD_OUT * len(images)))])
    state = tx.init(params)
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task("training a classifier", total=steps)
        for chosen in rng.choice(shown, (steps, batch_size)):
            params, state = step(params, state, images[chosen], classes[chosen])
            progress.advance(task)
    found = np.split(_logits(params, images[held_out]), ends, axis=1)
    rights = [
        float(np.mean(logits.argmax(axis=1) == truth))
        for logits, truth in zip(found, classes[held_out].T, strict=True)
    ]
    return split_heads(params, sizes, rights, resolution)


def split_heads(
    params: Params, sizes: Sequence[int], accuracies: Sequence[float], resolution: int
) -> list[Classifier]:
    """Classifiers of the heads of a network, which share all other arrays."""
    found, end = [], 0
    for size, accuracy in zip(sizes, accuracies, strict=True):
        place, end = slice(end, end + size), end + size
        own = {name: params[name][..., place] for name in HEADS}
        found.append(Classifier({**params, **own}, size, accuracy, resolution))
    return found


def _scaled_logits(params: Params, images: Array) -> Array:
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32) / 127.5 - 1
    return classifier_network.logits(params, images)


_classified = jax.jit(_scaled_logits)


def _logits(params: Params, images: np.ndarray) -> np.ndarray:
    starts = range(0, len(images), _CHUNK)
    chunks = [_classified(params, images[i : i + _CHUNK]) for i in starts]
    return np.concatenate(jax.device_get(chunks))
