"""Overfitting as seen by scores of images that are held out."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.networks.pair import discriminator_network
from stylegan_jax.training import overfitting
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.loop import train
from stylegan_jax.training.schedule import ScheduleConfig, phases
from stylegan_jax.training.state import init_state
from tests import tiny

BATCH = 4
CONFIG = Config(
    model=tiny.MODEL_8,
    data=DataConfig(portraits_size=20, holdout=0.2),
    schedule=ScheduleConfig(
        initial_resolution=8, total_kimg=0.032, batch_size=BATCH, repeats=2
    ),
    run=RunConfig(tick_kimg=0.016, grid_columns=2, grid_rows=1),
)
(PHASE,) = phases(CONFIG.schedule, 8)


def test_r_v_is_the_papers():
    """Held-out images a quarter of the way from the training set to samples."""
    assert overfitting.validation_ratio(2.0, 1.0, -2.0) == pytest.approx(0.25)
    assert overfitting.validation_ratio(2.0, 2.0, -2.0) == 0
    assert overfitting.validation_ratio(2.0, -2.0, -2.0) == 1


def test_nothing_is_said_of_r_v_where_it_has_no_meaning(monkeypatch):
    """At first the scores of samples and of images may be equal."""
    means = {overfitting.HELD_OUT: np.float32(0), overfitting.R_V: np.float32("nan")}
    monkeypatch.setattr(overfitting, "make_scores", lambda *_: lambda *_: means)
    source = open_source(CONFIG.data)
    observe = overfitting.observer(CONFIG, source, parallel.make_mesh(1))
    assert observe(8, jnp.zeros(()), PHASE) == {overfitting.HELD_OUT: 0.0}


@pytest.mark.parametrize("part", ["all", "held_out"])
def test_images_that_are_held_out_are_not_trained_on(tmp_path, part):
    data = dataclasses.replace(CONFIG.data, part=part)
    with pytest.raises(UserError, match=f"data.part is {part}: images that are held"):
        train(dataclasses.replace(CONFIG, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_scores_are_the_discriminators_minibatch_by_minibatch(key):
    state = init_state(key, CONFIG.model, CONFIG.optimizer)
    state = dataclasses.replace(state, d_params=tiny.numbers(state.d_params))
    pixels = np.random.RandomState(0).randint(0, 256, (2, 4, BATCH, 8, 8, 3))
    labels = np.zeros((4, BATCH, 0), np.float32)
    train_batch, held_out = (
        {"images": x.astype(np.uint8), "labels": labels} for x in pixels
    )
    scores = jax.jit(overfitting.make_scores(CONFIG, PHASE))
    found = scores(state, train_batch, held_out, key)
    network = discriminator_network(CONFIG.model, strided_groups=False)
    for name, images in zip(
        (overfitting.TRAIN, overfitting.HELD_OUT), pixels, strict=False
    ):
        expected = [
            network.apply({"params": state.d_params}, image, labels[0])
            for image in (images / 127.5 - 1).astype(np.float32)
        ]
        np.testing.assert_allclose(found[name], np.mean(expected), rtol=1e-4)
    fake, train_score, held_out_score, ratio = (
        float(found[f"overfitting/{name}"])
        for name in ("fake", "train", "held_out", "r_v")
    )
    assert len({fake, train_score, held_out_score}) == 3
    expected = (train_score - held_out_score) / (train_score - fake)
    assert ratio == pytest.approx(expected, rel=1e-4)
    same = scores(state, train_batch, train_batch, key)
    assert same[overfitting.R_V] == 0


@pytest.mark.thorough
def test_a_run_records_both_and_trains_as_without(tmp_path):
    state = train(CONFIG, tmp_path / "seen")
    lines = (tmp_path / "seen" / "metrics.jsonl").read_text().splitlines()
    known = [json.loads(line) for line in lines]
    seen = [line for line in known if overfitting.HELD_OUT in line]
    assert [line["nimg"] for line in seen] == [16, 32]
    assert all(np.isfinite(line[overfitting.R_V]) for line in seen)
    blind = dataclasses.replace(
        CONFIG, data=dataclasses.replace(CONFIG.data, holdout=0.0)
    )
    other = train(blind, tmp_path / "blind", source=open_source(CONFIG.data))
    chex.assert_trees_all_equal(state.g_params, other.g_params)
    chex.assert_trees_all_equal(state.d_params, other.d_params)
