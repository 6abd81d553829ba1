"""Classifiers of the attributes of the built-in portraits, for separability.

The paper trains one network per attribute of CelebA, of the size of its discriminator.
Here the attributes are those of drawn people, true by construction, and the networks
are small (`classifier.py`); how often they are right is measured.
"""

from collections.abc import Sequence

import numpy as np
from rich.progress import track

from stylegan_jax.data.portraits import Portraits
from stylegan_jax.metrics.classifier import Classifier, train_classifier

ATTRIBUTES = ("eyeglasses", "smile", "pose", "age", "gender")


def attribute_classifiers(
    source: Portraits,
    names: Sequence[str] = ATTRIBUTES,
    resolution: int = 64,
    *,
    count: int = 5000,
    steps: int = 500,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Classifier]:
    """Trains a binary classifier of each attribute; class 1 has more of it.

    Eyeglasses are there or not. An attribute that is a number is cut at its median
    over the images used, so that both classes are equally large; this differs from
    the labels of `Portraits`, which are cut at fixed values.

    Args:
        source: the people; its own label does not matter.
        names: attributes, fields of `PortraitAttributes` that are numbers or bools.
        resolution: of the images, in pixels, at least 8.
        count: images used, a tenth of them only to measure the accuracy; all if there
            are fewer.
        steps: minibatches of 64 for each attribute.
        seed: of weights, order and choice of the images held out.
        quiet: shows no progress.

    Returns:
        A classifier for each name, in order; each says its accuracy on the tenth.

    Raises:
        ValueError: no or unknown names, one that has no two sides, or too few images.
    """
    if not names:
        raise ValueError(f"no attributes; choose from {', '.join(ATTRIBUTES)}")
    chosen = range(min(count, len(source)))
    classes = {name: attribute_classes(source, name, len(chosen)) for name in names}
    drawing = track(chosen, "drawing portraits", disable=quiet)
    images = np.stack([source.image(i, resolution) for i in drawing])
    return {
        name: train_classifier(images, of, steps=steps, seed=seed, quiet=quiet)
        for name, of in classes.items()
    }


def attribute_classes(source: Portraits, name: str, count: int) -> np.ndarray:
    """Which of the first `count` people have the attribute, or more than the median.

    Returns:
        int `[count]`: 0 or 1.

    Raises:
        ValueError: the attribute is unknown, is neither number nor bool, or is the same
            for all.
    """
    people = [source.attributes(i) for i in range(count)]
    values = [getattr(person, name, None) for person in people]
    if not all(isinstance(value, bool | float) for value in values):
        raise ValueError(
            f"attribute {name!r} is not a number or a bool of portraits; choose from "
            f"{', '.join(ATTRIBUTES)}"
        )
    numbers = np.array(values, np.float64)
    threshold = 0.5 if isinstance(values[0], bool) else np.median(numbers)
    classes = (numbers > threshold).astype(int)
    if len(np.unique(classes)) < 2:
        raise ValueError(
            f"attribute {name!r} is the same for all {count} people; use more of them"
        )
    return classes
