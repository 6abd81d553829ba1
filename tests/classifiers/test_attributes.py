import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan_jax.classifiers import attribute_classifiers as module
from stylegan_jax.classifiers import classifier_file, own
from stylegan_jax.classifiers.attribute_classifiers import (
    attribute_classifiers,
    attribute_table,
    classifiers_for,
)
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.labels import make_table
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.io import images as pictures

RESOLUTION = 16


@pytest.fixture(scope="module")
def trained():
    return attribute_classifiers(
        Portraits(600), ("pose", "eyeglasses"), RESOLUTION, steps=150, quiet=True
    )


@pytest.mark.thorough
@dataclasses.dataclass
class Coloured:
    """Images of one colour each, and labels of any kind; counts its readings."""

    labels: list
    num_channels: int = 3
    name: str = "colours"
    shade: int = 200
    reads: int = 0

    def __post_init__(self):
        table = make_table(self.labels) if self.labels[0] is not None else None
        self.label_size = table.size if table else 0
        self.label_names = table.names if table else ()
        self._table = table

    def __len__(self):
        return len(self.labels)

    def image(self, index, resolution):
        self.reads += 1
        image = np.full((resolution, resolution, self.num_channels), 30, np.uint8)
        image[..., index % 3] = self.shade
        return image

    def label(self, index):
        return self._table.vector(index)


@pytest.mark.thorough
def test_attributes_are_learnt_and_accuracy_holds_for_other_people(trained):
    assert list(trained) == ["pose", "eyeglasses"]
    others = Portraits(200, seed=9)
    drawn = np.stack([others.image(i, RESOLUTION) for i in range(200)])
    scaled = drawn.astype(np.float32) / 127.5 - 1
    people = [others.attributes(i) for i in range(200)]
    truth = {
        "pose": np.array([person.pose > 0 for person in people]),
        "eyeglasses": np.array([person.eyeglasses for person in people]),
    }
    for name, one in trained.items():
        logits = np.asarray(jax.jit(one.logit)(scaled))
        right = np.mean((logits > 0) == truth[name])
        assert right > 0.8
        assert one.accuracy == pytest.approx(right, abs=0.12)


@pytest.mark.thorough
def test_logits_give_the_probabilities_and_larger_images_are_averaged(trained):
    one = trained["pose"]
    large = np.random.RandomState(0).uniform(-1, 1, (5, 64, 64, 3)).astype(np.float32)
    small = large.reshape(5, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    logits = np.asarray(one.logit(jax.numpy.asarray(large)), np.float64)
    probabilities = one.probabilities(small)
    expected = np.exp(logits) / (np.exp(logits) + np.exp(-logits))
    np.testing.assert_allclose(probabilities[:, 1], expected, rtol=1e-4)


def test_numbers_are_cut_at_the_median_and_bools_are_not():
    people = Portraits(101)
    for name in ("smile", "age", "gender", "pose"):
        classes = attribute_table(people, [name], range(101))[name]
        assert classes.sum() == 50
        values = np.array([getattr(people.attributes(i), name) for i in range(101)])
        assert values[classes == 1].min() > values[classes == 0].max()
    wearing = [people.attributes(i).eyeglasses for i in range(101)]
    for source in (people, Portraits(101, num_channels=1)):
        table = attribute_table(source, ("eyeglasses",), range(101))
        assert table["eyeglasses"].tolist() == wearing


def test_labels_of_any_data_are_attributes():
    three = Coloured(["red", "green", "blue"] * 2)
    table = attribute_table(three, None, [0, 1, 2, 3])
    assert {name: classes.tolist() for name, classes in table.items()} == {
        "blue": [0, 0, 1, 0],
        "green": [0, 1, 0, 0],
        "red": [1, 0, 0, 1],
    }
    assert list(attribute_table(three, ["red"], [0, 1])) == ["red"]
    assert list(attribute_table(three, None, [0, 1, 3, 4])) == ["green", "red"]
    # Of two classes one says it all.
    two = attribute_table(Coloured(["cat", "dog", "dog"]), None, range(3))
    assert {name: one.tolist() for name, one in two.items()} == {"dog": [0, 1, 1]}
    # Vectors: 0 and 1 as they are, numbers at the median.
    vectors = [(1.0, 0.1), (1.0, 0.5), (1.0, 0.2), (0.0, 0.9)]
    table = attribute_table(Coloured(vectors), None, range(4))
    assert {name: one.tolist() for name, one in table.items()} == {
        "label0": [1, 1, 1, 0],
        "label1": [0, 1, 0, 1],
    }


@pytest.mark.thorough
def test_a_folder_with_labels_is_learnt_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    draw = np.random.RandomState(0)
    for index in range(60):
        bright = index >= 30  # as a folder sorts them
        image = draw.randint(0, 90, (8, 8, 3)) + 150 * bright
        folder = tmp_path / "data" / ("night", "day")[int(bright)]
        folder.mkdir(parents=True, exist_ok=True)
        pictures.write_png(folder / f"{index}.png", image.astype(np.uint8))
    config = DataConfig(name="folder", path=str(tmp_path / "data"), labels="folders")
    source = open_source(config)
    options = {"count": 40, "steps": 25, "quiet": True}
    first = classifiers_for(source, 8, **options)
    assert list(first) == ["night"] and first["night"].accuracy == 1.0
    shades = np.array([[[[-0.6]]], [[[0.6]]]]) * np.ones((2, 8, 8, 3))
    logits = np.asarray(first["night"].logit(jax.numpy.asarray(shades)))
    assert logits[0] > 0 > logits[1]
    # Once more: nothing is trained.
    monkeypatch.setattr(module, "train_heads", None)
    again = classifiers_for(source, 8, **options)
    assert again["night"].accuracy == 1.0
    np.testing.assert_array_equal(again["night"].logit(shades), logits)
    # Unless something else is wanted, or what was kept is damaged.
    with pytest.raises(TypeError):
        classifiers_for(source, 8, **options | {"count": 30})
    (path,) = (tmp_path / "cache" / "classifiers").glob("*.safetensors")
    path.write_bytes(b"cut off")
    with pytest.raises(TypeError):
        classifiers_for(source, 8, **options)


def test_what_is_kept_belongs_to_pixels_and_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path))

    def path(source, names=None, resolution=8, **changed):
        options = {"count": 9, "steps": 1, "seed": 0} | changed
        return module._stored_path(source, names, resolution, options)

    labels = ["a", "b", "c"] * 3
    base = path(Coloured(labels))
    assert path(Coloured(labels, name="moved elsewhere")) == base
    others = [
        path(Coloured(labels, shade=201)),
        path(Coloured(["b", "a", "c"] * 3)),
        path(Coloured(["a", "b", "d"] * 3)),
        path(Coloured(labels), names=["a", "b"]),
        path(Coloured(labels), resolution=16),
        path(Coloured(labels), seed=1),
        path(Coloured(labels), steps=2),
    ]
    assert len({base, *others}) == 8


@pytest.mark.thorough
def test_a_file_of_ones_own_is_written_read_and_a_feature_network(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "train_heads", lambda *_, **__: [*trained.values()])
    file = tmp_path / "portraits_classifier.safetensors"
    people = Portraits(600)
    options = {"names": ("pose", "eyeglasses"), "cached": False, "quiet": True}
    classifiers_for(people, RESOLUTION, file=file, **options)
    monkeypatch.setattr(module, "train_heads", None)
    read = classifiers_for(Coloured([None]), 32, file=file)
    images = np.stack([people.image(i, RESOLUTION) for i in range(3)])
    for name, one in trained.items():
        assert read[name].accuracy == one.accuracy
        np.testing.assert_array_equal(
            read[name].probabilities(images), one.probabilities(images)
        )
    assert list(classifiers_for(people, 16, file=file, names=["pose"])) == ["pose"]
    network = own.load(file)
    assert network.name == "portraits_classifier"
    head = trained["pose"].params
    logits = np.asarray(network(images)) @ np.asarray(head["heads.weight"])
    odds = np.exp(logits + np.asarray(head["heads.bias"]))
    expected = odds / odds.sum(axis=1, keepdims=True)
    found = trained["pose"].probabilities(images)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    with pytest.raises(UserError, match="no classifier of 'hat'; it has pose"):
        classifiers_for(people, 16, file=file, names=["hat"])
    with pytest.raises(UserError, match="samples of 8 px need two classes and a size"):
        classifiers_for(people, 8, file=file)
    two = {**trained, "other": dataclasses.replace(trained["pose"], params={**head})}
    classifier_file.save(file, two)
    two["other"].params["conv0.bias"] = head["conv0.bias"] + 0
    with pytest.raises(UserError, match="are several networks; a file holds one"):
        classifier_file.save(file, two)


@pytest.mark.thorough
def test_mistakes_are_explained(trained):
    for name in ("hair_style", "hat"):  # neither a number nor a bool
        with pytest.raises(UserError, match=f"no label '{name}'; its labels are pose"):
            attribute_table(Portraits(20), [name], range(20))
    with pytest.raises(UserError, match="'eyeglasses' is the same for all 1"):
        attribute_table(Portraits(1), ["eyeglasses"], range(1))
    with pytest.raises(UserError, match="has labels, and none is named"):
        attribute_classifiers(Portraits(20), ())
    with pytest.raises(UserError, match="images of 4 px are too small to classify"):
        attribute_classifiers(Portraits(20), resolution=4)
    with pytest.raises(UserError, match=r"without labels.*data.labels` .*`classif"):
        attribute_table(Coloured([None] * 20), None, range(20))
    with pytest.raises(UserError, match=r"classifiers end in \.safetensors"):
        classifiers_for(Portraits(20), 16, file=Path("people.npz"))
    labelled = Coloured(["a", "b"])
    with pytest.raises(UserError, match="no label 'c'; its labels are b"):
        attribute_table(labelled, ["c"], range(2))
    with pytest.raises(UserError, match="'b' is the same for all 1 images"):
        attribute_table(labelled, None, [0])
    with pytest.raises(UserError, match="train one for images of 24 px"):
        trained["pose"].logit(jax.numpy.zeros((1, 24, 24, 3)))
    with pytest.raises(UserError, match="16 px and 1 channels"):
        trained["pose"].logit(jax.numpy.zeros((1, 16, 16, 1)))
