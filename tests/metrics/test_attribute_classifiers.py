import jax
import numpy as np
import pytest

from stylegan_jax.data.portraits import Portraits
from stylegan_jax.metrics.attribute_classifiers import (
    attribute_classes,
    attribute_classifiers,
)

RESOLUTION = 16


@pytest.fixture(scope="module")
def trained():
    return attribute_classifiers(
        Portraits(600), ("pose", "eyeglasses"), RESOLUTION, steps=150, quiet=True
    )


def test_attributes_are_learnt_and_accuracy_holds_for_other_people(trained):
    assert list(trained) == ["pose", "eyeglasses"]
    others = Portraits(200, seed=9)
    pictures = np.stack([others.image(i, RESOLUTION) for i in range(200)])
    scaled = pictures.astype(np.float32) / 127.5 - 1
    people = [others.attributes(i) for i in range(200)]
    truth = {
        "pose": np.array([person.pose > 0 for person in people]),
        "eyeglasses": np.array([person.eyeglasses for person in people]),
    }
    for name, classifier in trained.items():
        logits = np.asarray(jax.jit(classifier.logit)(scaled))
        right = np.mean((logits > 0) == truth[name])
        assert right > 0.85
        assert classifier.accuracy == pytest.approx(right, abs=0.12)


def test_logits_give_the_probabilities_and_larger_images_are_averaged(trained):
    classifier = trained["pose"]
    large = np.random.RandomState(0).uniform(-1, 1, (5, 64, 64, 3)).astype(np.float32)
    small = large.reshape(5, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    logits = np.asarray(classifier.logit(jax.numpy.asarray(large)), np.float64)
    probabilities = classifier.probabilities(small)
    expected = np.exp(logits) / (np.exp(logits) + np.exp(-logits))
    np.testing.assert_allclose(probabilities[:, 1], expected, rtol=1e-4)


def test_numbers_are_cut_at_the_median_and_bools_are_not():
    people = Portraits(101)
    for name in ("smile", "age", "gender", "pose"):
        classes = attribute_classes(people, name, 101)
        assert classes.sum() == 50
        values = np.array([getattr(people.attributes(i), name) for i in range(101)])
        assert values[classes == 1].min() > values[classes == 0].max()
    wearing = [people.attributes(i).eyeglasses for i in range(101)]
    assert attribute_classes(people, "eyeglasses", 101).tolist() == wearing


def test_mistakes_are_refused(trained):
    with pytest.raises(ValueError, match="'hair_style' is not a number or a bool"):
        attribute_classes(Portraits(20), "hair_style", 20)
    with pytest.raises(ValueError, match="'hat' is not"):
        attribute_classes(Portraits(20), "hat", 20)
    with pytest.raises(ValueError, match="'eyeglasses' is the same for all 1"):
        attribute_classes(Portraits(1), "eyeglasses", 1)
    with pytest.raises(ValueError, match="no attributes"):
        attribute_classifiers(Portraits(20), ())
    with pytest.raises(ValueError, match="images of 24 px are not a multiple"):
        trained["pose"].logit(jax.numpy.zeros((1, 24, 24, 3)))
