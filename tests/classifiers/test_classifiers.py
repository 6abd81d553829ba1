import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.classifiers import classifier, classifier_file, own
from stylegan_jax.classifiers.classifier import split_heads, train_classifier
from stylegan_jax.errors import UserError


def stripes(count, seed=0):
    """Noisy images: class 0 upright stripes, class 1 level ones."""
    draw = np.random.RandomState(seed)
    classes = draw.randint(0, 2, count)
    waves = 60 * np.sign(np.sin(np.arange(8) * np.pi / 2 + 0.5))
    upright = np.tile(waves, (8, 1))
    images = np.where(classes[:, None, None] == 0, upright, upright.T)
    images = 128 + images + 20 * draw.randn(count, 8, 8)
    return images.clip(0, 255).astype(np.uint8)[..., None], classes


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_labels_of_chance_are_not_learnt():
    images, classes = stripes(600)
    shuffled = np.random.RandomState(2).permutation(classes)
    classifier = train_classifier(images, shuffled, steps=60, batch_size=32, quiet=True)
    assert 0.2 < classifier.accuracy < 0.8


def test_too_few_images_or_labels_are_rejected():
    images, classes = stripes(30)
    with pytest.raises(UserError, match="19 images with 19 labels: at least 20"):
        train_classifier(images[:19], classes[:19])
    with pytest.raises(UserError, match="30 images with 29 labels"):
        train_classifier(images, classes[:29])


@pytest.fixture(scope="module")
def stored():
    params = classifier.init(jax.random.key(0), 8, 3, 5)
    smile, hat = split_heads(params, [2, 3], [0.9, 0.8], 8)
    return {"smile": smile, "hat": hat}


@pytest.mark.thorough
def test_classifiers_give_their_last_but_one_layer(stored, tmp_path):
    path = tmp_path / "people.safetensors"
    classifier_file.save(path, stored)
    network = own.load(path)
    images = np.random.RandomState(1).randint(256, size=(3, 8, 8, 3)).astype(np.uint8)
    assert (network.name, network.size) == ("people", classifier.SIZE)
    features = np.asarray(network(images), np.float64)
    params = {n: np.asarray(p, np.float64) for n, p in stored["smile"].params.items()}
    logits = features @ params["heads.weight"] + params["heads.bias"]
    x = jnp.asarray(images) / 127.5 - 1
    expected = classifier.logits(stored["smile"].params, x)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    # Cells of equal pixels, and a size that is no multiple.
    large = images.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(network(large), features, rtol=1e-4, atol=1e-5)
    flat = np.full((1, 13, 13, 3), 77, np.uint8)
    np.testing.assert_allclose(
        network(flat), network(flat[:, :8, :8]), rtol=1e-4, atol=1e-6
    )
    x = jnp.asarray(images, jnp.float32)
    gradient = jax.grad(lambda x: network.function(network.params, x).sum())(x)
    assert np.abs(gradient).max() > 0


def test_the_network_is_what_its_formulas_say():
    params = classifier.init(jax.random.key(1), 8, 1, 2)
    image = np.random.RandomState(0).uniform(-1, 1, (8, 8, 1))
    x = image
    for index in range(3):
        kernel, bias = (
            np.asarray(params[f"conv{index}.{part}"], np.float64)
            for part in ("weight", "bias")
        )
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        side = len(x)
        rows = [
            [np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) for j in range(side)]
            for i in range(side)
        ]
        x = np.maximum(np.array(rows) + bias, 0)
        x = x.reshape(side // 2, 2, side // 2, 2, -1).max((1, 3))
    dense = np.asarray(params["hidden.weight"], np.float64)
    expected = np.maximum(x.ravel() @ dense, 0)
    found = classifier.features(params, jnp.asarray(image[None], jnp.float32))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    # Images of 64 px are halved once more than those of 32, by a layer of its own.
    assert "conv3.weight" not in classifier.shapes(64, 3, 2)
    assert "conv3.weight" in classifier.shapes(128, 3, 2)
    assert classifier.shapes(128, 3, 2)["hidden.weight"] == (4096, 128)


def test_files_of_classifiers_are_checked(stored, tmp_path):
    path = tmp_path / "c.safetensors"
    classifier_file.save(path, stored)
    loaded = classifier_file.load(path)
    assert list(loaded) == ["smile", "hat"]
    for name, one in stored.items():
        found = loaded[name]
        assert dataclasses.replace(found, params={}) == dataclasses.replace(
            one, params={}
        )
        chex.assert_trees_all_equal(found.params, one.params)
    assert loaded["smile"].params["hidden.bias"] is loaded["hat"].params["hidden.bias"]
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        text = file.metadata()["stylegan_jax"]
    for old, new, message in (
        ('"version": 1', '"version": 2', "update stylegan_jax"),
        ('"resolution": 8', '"resolution": 4', "too small to classify"),
        ('"resolution": 8', '"resolution": 16', "does not hold the arrays"),
        ('"channels": 3', '"channels": -1', "no possible classifiers"),
        ('"num_classes": 3', '"num_classes": 1e9', "no possible classifiers"),
    ):
        assert old in text
        changed = {"stylegan_jax": text.replace(old, new)}
        safetensors.numpy.save_file(arrays, path, changed)
        with pytest.raises(UserError, match=message):
            classifier_file.load(path)
    safetensors.numpy.save_file(arrays, path)
    with pytest.raises(UserError, match="is not a file of classifiers"):
        classifier_file.load(path)
