"""Small classifiers of labelled images, several heads to a network, and training.

The network has convolutions with ReLU and 2 x 2 max pooling, a dense layer of features,
and the logits of all heads side by side. Parameters are `conv0.weight`, `conv0.bias`,
... `hidden.weight` `[I, F]` and `heads.weight` `[F, K]`; images `[N, R, R, C]` in
[-1, 1].
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.features.frozen_layers import conv_relu
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.ops import resample

SIZE = 128  # of the features

_WIDTHS = (32, 64, 64)  # of the convolutions; more repeat the last
_SMALLEST = 8  # side of images at least, and of the last maps at most
HEADS = ("heads.weight", "heads.bias")  # the parameters that heads do not share
_HELD_OUT = 0.1  # share of the images held out for the accuracy
_CHUNK = 500  # images classified at once
_LEARNING_RATE = 2e-3  # initial; cosine decay to 0


def shapes(resolution: int, channels: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters by name; `outputs` are logits of all heads together."""
    if resolution < _SMALLEST:
        raise UserError(
            f"images of {resolution} px are too small to classify; take at least "
            f"{_SMALLEST} px"
        )
    table: dict[str, tuple[int, ...]] = {}
    side, before, count = resolution, channels, 0
    while count < len(_WIDTHS) or side > _SMALLEST:
        width = _WIDTHS[min(count, len(_WIDTHS) - 1)]
        table[f"conv{count}.weight"] = (3, 3, before, width)
        side, before, count = side // 2, width, count + 1
    table["hidden.weight"] = (side * side * before, SIZE)
    table["heads.weight"] = (SIZE, outputs)
    biases = {
        name.replace("weight", "bias"): shape[-1:] for name, shape in table.items()
    }
    return table | biases


def init(key: Array, resolution: int, channels: int, outputs: int) -> dict[str, Array]:
    """Initial weights: normal, of variance `2 / inputs`; biases 0."""
    params: dict[str, Array] = {}
    for name, shape in shapes(resolution, channels, outputs).items():
        key, subkey = jax.random.split(key)
        scale = (2 / math.prod(shape[:-1])) ** 0.5 if name.endswith("weight") else 0.0
        params[name] = scale * jax.random.normal(subkey, shape)
    return params


def features(params: Params, x: Array) -> Array:
    """Input of the last layer, `[N, SIZE]`, not negative."""
    for index in range(sum(name.startswith("conv") for name in params) // 2):
        x = conv_relu(params, f"conv{index}", x)
        n, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]  # 2 x 2 max pooling
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
    x = x.reshape(len(x), -1)
    return jax.nn.relu(x @ params["hidden.weight"] + params["hidden.bias"][None])


def logits(params: Params, x: Array) -> Array:
    """Logits of all heads, `[N, K]`."""
    return features(params, x) @ params["heads.weight"] + params["heads.bias"][None]


def extractor(params: Params, *, resolution: int, name: str) -> FrozenNetwork:
    """Features of RGB images of any size; UserError for a network of RGBA.

    Multiples of the resolution are reduced by means of cells, others resized linearly
    and antialiased; a network of grey images sees 0.299 R + 0.587 G + 0.114 B.
    """
    channels = params["conv0.weight"].shape[2]
    if channels not in (1, 3):
        raise UserError(
            f"{name} was trained on images of {channels} channels; features are taken "
            "of RGB images: train one with 1 or 3"
        )

    def function(params: Params, images: Array) -> Array:
        x = images.astype(jnp.float32) / 127.5 - 1
        n, height, width, _ = x.shape
        if height == width and height % resolution == 0:
            x = resample.downsample(x, height // resolution)
        else:
            x = jax.image.resize(x, (n, resolution, resolution, 3), "linear")
        if channels == 1:
            x = (x * jnp.array([0.299, 0.587, 0.114])[None, None, None]).sum(-1)[
                ..., None
            ]
        return features(params, x)

    return FrozenNetwork(name, SIZE, params, function)


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
        found = logits(self.params, images)
        return (found[:, 1] - found[:, 0]) / 2


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
    params = init(key, resolution, channels, sum(sizes))
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
        float(np.mean(head.argmax(axis=1) == truth))
        for head, truth in zip(found, classes[held_out].T, strict=True)
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
    return logits(params, images)


_classified = jax.jit(_scaled_logits)


def _logits(params: Params, images: np.ndarray) -> np.ndarray:
    starts = range(0, len(images), _CHUNK)
    chunks = [_classified(params, images[i : i + _CHUNK]) for i in starts]
    return np.concatenate(jax.device_get(chunks))
