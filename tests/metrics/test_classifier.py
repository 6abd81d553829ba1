import chex
import numpy as np
import pytest

from stylegan_jax.classifiers.classifier import train_classifier


def stripes(count, seed=0):
    """Noisy images: class 0 upright stripes, class 1 level ones."""
    draw = np.random.RandomState(seed)
    classes = draw.randint(0, 2, count)
    waves = 60 * np.sign(np.sin(np.arange(8) * np.pi / 2 + 0.5))
    upright = np.tile(waves, (8, 1))
    images = np.where(classes[:, None, None] == 0, upright, upright.T)
    images = 128 + images + 20 * draw.randn(count, 8, 8)
    return images.clip(0, 255).astype(np.uint8)[..., None], classes


def test_it_tells_what_can_be_told_and_measures_it_on_images_held_out():
    images, classes = stripes(300)
    classifier = train_classifier(images, classes, steps=60, batch_size=32, quiet=True)
    assert classifier.accuracy == 1.0
    others, truth = stripes(1100, seed=1)
    probabilities = classifier.probabilities(others)
    chex.assert_shape(probabilities, (1100, 2))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == truth) > 0.99
    floats = others.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(
        classifier.probabilities(floats), probabilities, atol=1e-5
    )


def test_labels_of_chance_are_not_learnt():
    images, classes = stripes(600)
    shuffled = np.random.RandomState(2).permutation(classes)
    classifier = train_classifier(images, shuffled, steps=60, batch_size=32, quiet=True)
    assert 0.2 < classifier.accuracy < 0.8


def test_too_few_images_or_labels_are_refused():
    images, classes = stripes(30)
    with pytest.raises(ValueError, match="19 images with 19 labels: at least 20"):
        train_classifier(images[:19], classes[:19])
    with pytest.raises(ValueError, match="30 images with 29 labels"):
        train_classifier(images, classes[:29])
