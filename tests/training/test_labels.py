"""What a conditional network can be trained on: one class per image."""

import dataclasses
import json

import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.io.images import write_png
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.config import Config
from stylegan_jax.training.start import fit_to_data

CONFIG = Config(model=ModelConfig(resolution=8))


@pytest.fixture
def labelled(tmp_path):
    """A folder with these labels in its dataset.json."""

    def labelled(labels):
        for i in range(len(labels)):
            write_png(tmp_path / f"{i}.png", np.zeros((8, 8, 3), np.uint8))
        pairs = [[f"{i}.png", label] for i, label in enumerate(labels)]
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": pairs}))
        config = DataConfig(name="folder", path=str(tmp_path), labels="json")
        return open_source(config)

    return labelled


@pytest.mark.parametrize(
    ("vectors", "index", "shown"),
    [
        ([[0, 1, 0], [0, 0, 0]], 1, r"\(0, 0, 0\)"),
        ([[0, 1, 0], [1, 0, 0], [0, 1, 1]], 2, r"\(0, 1, 1\)"),
        ([[0.5, 0, 0], [0, 1, 0]], 0, r"\(0\.5, 0, 0\)"),
        ([[1, -1, 1], [0, 1, 0]], 0, r"\(1, -1, 1\)"),
        ([[1] * 9, [0] * 9], 0, r"\(1, 1, 1, 1, 1, 1, 1, 1, \.\.\.\)"),
    ],
)
def test_vectors_that_are_no_classes_are_refused(labelled, vectors, index, shown):
    source = labelled(vectors)
    said = rf"image {index} of folder .* the vector {shown}.* `data.labels` none"
    with pytest.raises(UserError, match=said):
        fit_to_data(CONFIG, source)


@pytest.mark.parametrize("labels", [[0, 1, 2], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]])
def test_classes_are_what_they_are_however_they_are_written(labelled, labels):
    assert fit_to_data(CONFIG, labelled(labels)).model.label_size == 3


def test_a_discriminator_that_sees_no_labels_gets_none():
    blind = dataclasses.replace(CONFIG.model, embed_labels=False)
    config = dataclasses.replace(CONFIG, model=blind)
    with pytest.raises(UserError, match=r"does not see them; set model\.embed_labels"):
        fit_to_data(config, Portraits(4, 0, "smile"))
    assert fit_to_data(config, Portraits(4)).model.label_size == 0
