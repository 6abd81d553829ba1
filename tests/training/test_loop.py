import dataclasses
import json
import os
import shutil
import signal

import chex
import jax
import numpy as np
import pytest

import stylegan_jax
from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.data.config import DataConfig
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.runs import stored
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training.config import RunConfig
from stylegan_jax.training.loop import train
from stylegan_jax.training.report import NonFiniteError, Report
from stylegan_jax.training.schedule import ScheduleConfig, phases
from tests import tiny

# Grows from 8 to 16 px, in 208 images.
CONFIG = tiny.config(
    data=DataConfig(portraits_size=12, labels="eyeglasses", mirror=True),
    schedule=ScheduleConfig(
        stable_kimg=0.05, fade_kimg=0.05, total_kimg=0.2, repeats=2, batch_size=8
    ),
    checkpoint=CheckpointConfig(every_kimg=0.04, keep_last=9),
    run=RunConfig(tick_kimg=0.03, grid_columns=2, grid_rows=1),
)
# Does not grow, and compiles soon.
POINTS = tiny.config(
    tiny.POINTS,
    data=DataConfig(name="ring", num_channels=2),
    schedule=ScheduleConfig(
        initial_resolution=1, total_kimg=0.2, repeats=2, batch_size=8
    ),
    checkpoint=CheckpointConfig(every_kimg=0.04, keep_last=9),
    run=RunConfig(tick_kimg=0.03, grid_ticks=10**6),
)
growing = [pytest.mark.thorough, pytest.mark.optimised]


@pytest.fixture(
    scope="module",
    params=[POINTS, pytest.param(CONFIG, marks=growing)],
    ids=["points", "growing"],
)
def straight(request, tmp_path_factory):
    """A run of 208 images that was never stopped, on two devices."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    state = train(request.param, workdir, mesh=parallel.make_mesh(2))
    return request.param, workdir, jax.device_get(state)


def of(config, **sections):
    """The configuration with some fields of sections changed."""
    changed = {
        name: dataclasses.replace(getattr(config, name), **fields)
        for name, fields in sections.items()
    }
    return dataclasses.replace(config, **changed)


def test_a_run_that_was_stopped_equals_one_that_was_not(
    straight, tmp_path, monkeypatch
):
    config, _, expected = straight
    boundary = phases(config.schedule, config.model.resolution)[0].end_nimg
    # Growing: at the end of a phase, and within the next.
    counts = {boundary, boundary + 32} if boundary < 160 else {16, 160}
    plain = Report.defer

    def defer(self, nimg, metrics):
        plain(self, nimg, metrics)
        if nimg in counts:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Report, "defer", defer)
    reached = []
    for _ in range(len(counts) + 1):
        state = train(config, tmp_path / "run", mesh=parallel.make_mesh(2))
        reached.append(int(state.nimg))
    assert reached == [*sorted(counts), 208]
    # Bitwise: parameters, averages, moments and counts.
    chex.assert_trees_all_equal(jax.device_get(state), expected)


def test_a_complete_run_is_left_alone_and_a_longer_total_continues_it(
    straight, tmp_path
):
    config, workdir, expected = straight
    lines = (workdir / "metrics.jsonl").read_text()
    mesh = parallel.make_mesh(2)
    again = train(config, workdir, mesh=mesh)
    chex.assert_trees_all_equal(jax.device_get(again), expected)
    assert (workdir / "metrics.jsonl").read_text() == lines
    shutil.copytree(workdir, tmp_path / "run")
    longer = of(config, schedule={"total_kimg": 0.24})
    assert int(train(longer, tmp_path / "run", mesh=mesh).nimg) == 240
    with pytest.raises(UserError, match=r"optimizer\.beta2"):
        train(of(config, optimizer={"beta2": 0.9}), workdir)


def test_a_run_directory_has_what_the_docs_say(straight):
    config, workdir, _ = straight
    stored_config = json.loads((workdir / "config.json").read_text())
    assert stored_config["model"]["label_size"] == (2 if config is CONFIG else 0)
    assert json.loads((workdir / "provenance.json").read_text())
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["nimg"] for r in records] == sorted({r["nimg"] for r in records})
    assert records[-1]["nimg"] == 208
    assert {"loss/D", "loss/G", "r1", "scores/real", "scores/fake"} <= set(records[-1])
    assert list((workdir / "tensorboard").iterdir())
    names = {path.name for path in (workdir / "samples").iterdir()}
    expected = {"reals_000000.000.png"}
    for phase in phases(config.schedule, config.model.resolution):
        expected.add(f"fakes_{phase.end_nimg / 1000:010.3f}.png")
    assert expected <= names


def test_checkpoints_load_as_generators_of_the_average_as_far_as_it_had_grown(straight):
    config, workdir, state = straight
    model = config.model
    generator = stylegan_jax.load(workdir)
    chex.assert_trees_all_equal(jax.device_get(generator.params), state.g_ema)
    assert generator.resolution == model.resolution and generator.alpha is None
    schedule = phases(config.schedule, model.resolution)
    for nimg, path in stored.step_directories(workdir / "checkpoints"):
        generator = stylegan_jax.load(path)
        phase = next(p for p in schedule if p.start_nimg < nimg <= p.end_nimg)
        assert generator.resolution == phase.resolution
        if phase.fading:  # begins at 50 images and takes 50
            alpha = min((nimg - 50) / 50, 1)
            np.testing.assert_allclose(generator.alpha, alpha, rtol=1e-6)
        else:
            assert generator.alpha is None


@pytest.mark.thorough
def test_numbers_that_are_not_finite_end_the_run_and_keep_the_good_checkpoint(tmp_path):
    good = of(POINTS, schedule={"total_kimg": 0.016})
    mesh = parallel.make_mesh(1)
    train(good, tmp_path, mesh=mesh)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    rate = ByResolution(1e30)
    wild = of(good, schedule={"total_kimg": 0.4}, optimizer={"learning_rate": rate})
    with pytest.raises(NonFiniteError, match=r"last good checkpoint is .*016"):
        train(wild, tmp_path, mesh=mesh, change=True)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before


def test_labels_that_the_data_lacks_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"label_size is 7, but portraits has 2"):
        train(of(CONFIG, model={"label_size": 7}), tmp_path / "run")
