"""Linear separability of latents by image attributes.

Source: Karras et al. 2018, section 4.2, and `metrics/linear_separability.py`,
NVlabs/stylegan.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.errors import UserError
from stylegan_jax.io.summary import short_repr
from stylegan_jax.metrics import draws, streaming
from stylegan_jax.metrics.checks import require_finite
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.networks.generator import Generator


class Separability(NamedTuple):
    """Linear separability of a latent space.

    `score` is 2 to the sum of `entropies` `[K]`, in bits; 1 is perfect. `confusion` is
    int `[K, 2, 2]`: side of the plane, then predicted class; 0 is with the attribute.
    """

    score: float
    entropies: np.ndarray
    confusion: np.ndarray


class LabelledLatents(NamedTuple):
    """Latents and logits `[N, K]` of samples, float32; positive with the attribute.

    `z` is `[N, z_dim]`, `w` `[N, w_dim]` of the last layer, not truncated.
    """

    z: np.ndarray
    w: np.ndarray
    logits: np.ndarray
    names: tuple[str, ...]

    __repr__ = short_repr


def separability(
    latents: np.ndarray, logits: np.ndarray, *, keep: int | None = None
) -> Separability:
    """Separability of latents `[N, D]` by attributes.

    `logits` are `[N, K]`; a sample has the attribute with probability
    softmax([l, -l])[0]. `keep` is the number of most confident samples per attribute,
    half by default, as in the paper. Raises UserError for non-finite numbers.
    """
    keep = len(latents) // 2 if keep is None else keep
    if latents.ndim != 2 or logits.ndim != 2 or len(latents) != len(logits):
        raise UserError(
            f"latents of shape {latents.shape} with logits of shape {logits.shape}; "
            "they must be [N, D] and [N, K]"
        )
    if not 1 <= keep <= len(latents):
        raise UserError(
            f"{keep} of {len(latents)} samples cannot be kept; keep at least 1 and "
            "draw twice as many"
        )
    require_finite(latents, "latents", name="sample {}".format)
    require_finite(logits, "logits", name="sample {}".format)
    confusion = np.stack(
        [_confusion(latents, column, keep) for column in logits.T]
        or [np.zeros((0, 2, 2), int)]
    )
    entropies = np.array([conditional_entropy(counts) for counts in confusion])
    return Separability(float(2 ** entropies.sum()), entropies, confusion)


def confident(logits: np.ndarray, keep: int) -> np.ndarray:
    """Indices of the most confident of `[N]` logits, in stable descending order.

    As in the official code the float32 probability decides: it is 1 for every logit
    above 8.32, and those are ties.
    """
    sure = 1 / (1 + np.exp(-2 * np.abs(logits.astype(np.float32))))
    return np.argsort(-sure, kind="stable")[:keep]


def conditional_entropy(counts: np.ndarray) -> float:
    """Entropy in bits of the columns given the rows of a table of counts, `[R, C]`."""
    joint = counts / np.sum(counts)
    rows = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
    here = joint > 0
    bits = np.sum(joint[here] * np.log2(rows[here] / joint[here]))
    return max(0.0, float(bits))


def sample_for_separability(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    count: int = 200_000,
    seed: int = 0,
    *,
    labels: LabelDistribution | None = None,
    **options: Any,
) -> LabelledLatents:
    """Draws and classifies images; `options` are those of `streaming.stream`.

    With random noise, without truncation.
    """
    if not classifiers:
        raise UserError("no classifiers; separability needs at least one attribute")

    def compute(
        given: tuple[Generator, LabelDistribution | None], indices: Array
    ) -> tuple[Array, Array, Array]:
        generator, labels = given
        z, y, noise = draws.draw_inputs(generator, labels, seed, indices)
        ws = generator.map(z, y)
        images = generator.synthesize(ws, noise)
        logits = [classifier.logit(images) for classifier in classifiers.values()]
        return z, ws[:, -1], jnp.stack(logits, axis=1)

    z, w, logits = streaming.stream(
        compute,
        (generator, labels),
        count,
        title="samples for separability",
        **options,
    )
    return LabelledLatents(z, w, logits, tuple(classifiers))


def _confusion(latents: np.ndarray, logits: np.ndarray, keep: int) -> np.ndarray:
    # Imported here: it takes a second.
    from sklearn.svm import LinearSVC

    chosen = confident(logits, keep)
    # Class 0 has the attribute, as in the official code. argmax takes the first.
    targets = (logits[chosen] < 0).astype(int)
    if targets.min() == targets.max():
        # One class cannot be separated; the official code counts it as right.
        outputs = targets
    else:
        outputs = LinearSVC().fit(latents[chosen], targets).predict(latents[chosen])
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (outputs, targets), 1)
    return counts
