"""Training of small classifiers of labelled images, several heads to a network."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from stylegan_jax.classifiers import classifier_network
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import Params
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.ops import resample

_HELD_OUT = 0.1  # share of the images held out for the accuracy
_CHUNK = 500  # images classified at once
_STEPS = 25  # minibatches in one program, at most
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
        if self.num_classes != 2:
            raise UserError(
                f"the classifier has {self.num_classes} classes; a logit needs 2"
            )
        size, channels = images.shape[1], images.shape[3]
        if size % self.resolution or channels != self.channels:
            raise UserError(
                f"images of {size} px are not a multiple of the classifier's "
                f"{self.resolution} px, or their {channels} channels are not its "
                f"{self.channels}; train one at {size} px or below on such images"
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
    resolution, channels = images.shape[1], images.shape[3]
    key = jax.random.key(seed)
    params = classifier_network.init(key, resolution, channels, sum(sizes))
    rng = np.random.RandomState(seed)
    order = rng.permutation(len(images))
    held_out, shown = np.split(order, [max(1, int(_HELD_OUT * len(images)))])
    batches = rng.choice(shown, (steps, batch_size))
    params = _trained(params, images, classes, sizes, batches, quiet=quiet)
    heads = split_heads(params, sizes)
    found = np.split(_logits(params, images[held_out]), np.cumsum(sizes)[:-1], axis=1)
    rights = [
        float(np.mean(logits.argmax(axis=1) == truth))
        for logits, truth in zip(found, classes[held_out].T, strict=True)
    ]
    return [
        Classifier(head, size, right, resolution)
        for head, size, right in zip(heads, sizes, rights, strict=True)
    ]


def _trained(
    params: dict[str, Array],
    images: np.ndarray,
    classes: np.ndarray,
    sizes: list[int],
    batches: np.ndarray,
    *,
    quiet: bool,
) -> dict[str, Array]:
    steps = len(batches)
    tx = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, steps))

    def loss(params: Params, images: Array, classes: Array) -> Array:
        whole = classifier_network.logits(params, _scaled(images))
        heads = jnp.split(whole, np.cumsum(sizes)[:-1], axis=1)
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(head, classes[:, index])
            for index, head in enumerate(heads)
        ]
        return sum(losses, jnp.zeros(len(images))).mean()

    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    @functools.partial(jax.jit, donate_argnums=0)
    def run(carry: Any, images: Array, classes: Array) -> Any:
        return lax.scan(step, carry, (images, classes))[0]

    carry = params, tx.init(params)
    length = next(n for n in range(min(_STEPS, steps), 0, -1) if steps % n == 0)
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task("training a classifier", total=steps)
        for chosen in batches.reshape(-1, length, batches.shape[1]):
            carry = run(carry, images[chosen], classes[chosen])
            progress.advance(task, length)
    return carry[0]


def split_heads(params: Params, sizes: Sequence[int]) -> list[dict[str, Array]]:
    """Parameters of each head; all other arrays are shared."""
    found, start = [], 0
    for size in sizes:
        place = slice(start, start + size)
        names = ("heads.weight", "heads.bias")
        found.append(dict(params) | {name: params[name][..., place] for name in names})
        start += size
    return found


def _scaled(images: Array) -> Array:
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 127.5 - 1
    return images


@jax.jit
def _classified(params: Params, images: Array) -> Array:
    return classifier_network.logits(params, _scaled(images))


def _logits(params: Params, images: np.ndarray) -> np.ndarray:
    count = min(_CHUNK, len(images))
    found = []
    for start in range(0, len(images), count):
        chunk = images[start : start + count]
        # The last chunk is padded: one compiled program.
        surplus = ((0, count - len(chunk)), (0, 0), (0, 0), (0, 0))
        padded = np.pad(chunk, surplus, mode="edge")
        found.append(np.asarray(_classified(params, padded))[: len(chunk)])
    return np.concatenate(found)
