"""What is known of a measure before it is taken agrees with what it gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.io import images
from stylegan_jax.metrics import measures, readiness
from stylegan_jax.metrics.measures import MeasureOptions
from stylegan_jax.metrics.names import KINDS, Measure
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

MODEL = ModelConfig(
    resolution=8,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=1,
    channel_base=64,
    channel_max=8,
)
SOURCE = Portraits(20)


def means(params, pictures):
    return params * pictures.astype(jnp.float32).mean((1, 2)) / 255


FEATURES = FrozenNetwork("means", 3, jnp.float32(1), means)


def test_every_kind_is_known_before():
    assert readiness._SCORES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", ["kid", "pr", "ppl_wend"])
def test_the_scores_that_are_announced_are_those_that_come(kind):
    options = MeasureOptions(features=FEATURES, quiet=True, cache=False)
    measure = Measure(kind, 20)
    announced = readiness.prepare(SOURCE, measure, options)
    generator = init_generator(jax.random.key(0), MODEL)
    taken = measures.take(generator, SOURCE, measure, options)
    assert announced.keys() == taken.keys()
    assert set(announced.values()) == {kind == "pr"}


def test_scores_of_classifiers_and_of_classes_have_their_names(monkeypatch):
    monkeypatch.setattr(readiness.inception, "load", lambda path: path)
    options = MeasureOptions()
    found = readiness.prepare(SOURCE, Measure("is", 1000), options)
    assert found == {"is1k_mean": True}
    found = readiness.prepare(SOURCE, Measure("ls", 200_000), options)
    assert found == {"ls_z": False, "ls_w": False}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ls"])
def test_weights_that_are_not_there_are_missed_at_once(kind, tmp_path):
    missing = tmp_path / "missing.pth"
    options = MeasureOptions(inception=missing, vgg16=missing, lpips=missing)
    with pytest.raises(UserError, match="missing"):
        readiness.prepare(SOURCE, Measure(kind, 1000), options)


def test_separability_asks_the_data_for_attributes(tmp_path):
    for i in range(3):
        images.write_png(tmp_path / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    photos = open_source(DataConfig(name="folder", path=str(tmp_path)))
    with pytest.raises(UserError, match="label"):
        readiness.prepare(photos, Measure("ls", 1000), MeasureOptions())
