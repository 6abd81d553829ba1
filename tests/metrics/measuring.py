"""A small network, features and data that are measured; also in several processes.

`python -m tests.metrics.measuring PORT INDEX COUNT` is process INDEX of COUNT.
"""

import json
import sys

import jax
import jax.numpy as jnp

from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics.measures import take
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.task import MeasureOptions
from tests import tiny

MODEL = tiny.MODEL_8
COUNT = 40
ALIKE = [Measure(kind, COUNT) for kind in ("fid", "kid", "pr", "ppl_wend")]


def generator():
    return tiny.generator(MODEL)  # not before processes have joined


def colours(scale=1.0, name="colours"):
    """Means of the colours of a picture's quarters stand in for deep features."""

    def function(params, images):
        images = images.astype(jnp.float32) / 255
        cells = images.reshape(len(images), 2, -1, 2, images.shape[2] // 2, 3)
        return params["scale"] * cells.mean(axis=(2, 4)).reshape(len(images), -1)

    return FrozenNetwork(name, 12, {"scale": jnp.float32(scale)}, function)


def score(kinds=ALIKE, source=None, made=None, **options):
    """All scores of some measures."""
    source = source or Portraits(30)
    options = {"features": colours(), "quiet": True, "mirror": True} | options
    made = made or generator()
    found = [take(made, source, kind, MeasureOptions(**options)) for kind in kinds]
    return {name: score for scores in found for name, score in scores.items()}


class Unreadable(Portraits):
    """Portraits that are known and cannot be drawn."""

    def image(self, index, resolution):
        raise AssertionError("an image was read")


if __name__ == "__main__":
    port, index, number = map(int, sys.argv[1:])
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.distributed.initialize(f"127.0.0.1:{port}", number, index)
    found = score([ALIKE[1], ALIKE[3]])
    # The features of the data are there by now.
    found |= score(ALIKE[:1], Unreadable(30))
    print(json.dumps(found))
