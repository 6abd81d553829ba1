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
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs import stored
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.loop import train
from stylegan_jax.training.schedule import ScheduleConfig, phases
from stylegan_jax.training.state import OptimizerConfig
from stylegan_jax.training.writer import NonFiniteError, Writer

CONFIG = Config(
    model=ModelConfig(
        resolution=16,
        z_dim=6,
        w_dim=6,
        mapping_width=6,
        mapping_layers=2,
        channel_base=128,
        channel_max=8,
    ),
    data=DataConfig(portraits_size=12, labels="eyeglasses", mirror=True),
    schedule=ScheduleConfig(
        stable_kimg=0.05,
        fade_kimg=0.05,
        total_kimg=0.2,
        repeats=2,
        batch_size=ByResolution(8),
    ),
    checkpoint=CheckpointConfig(every_kimg=0.04, keep_last=9),
    run=RunConfig(tick_kimg=ByResolution(0.03), grid_columns=2, grid_rows=1),
)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of 208 images that was never stopped, on two devices."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    return workdir, train(CONFIG, workdir, mesh=parallel.make_mesh(2))


def stop_at(monkeypatch, counts):
    """Sends SIGTERM to this very process when a run reaches one of the counts."""
    plain = Writer.defer

    def defer(self, nimg, metrics):
        plain(self, nimg, metrics)
        if nimg in counts:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Writer, "defer", defer)


def test_a_run_that_was_stopped_equals_one_that_was_not(
    straight, tmp_path, monkeypatch
):
    _, expected = straight
    boundary = phases(CONFIG.schedule, 16)[0].end_nimg
    counts = {16, boundary, boundary + 32, 160}
    stop_at(monkeypatch, counts)
    reached = []
    for _ in range(len(counts) + 1):
        state = train(CONFIG, tmp_path / "run", mesh=parallel.make_mesh(2))
        reached.append(int(state.nimg))
    assert reached == [*sorted(counts), 208]
    # Bitwise: parameters, averages, moments and counts.
    chex.assert_trees_all_equal(jax.device_get(state), jax.device_get(expected))


def test_a_complete_run_is_left_alone(straight):
    workdir, expected = straight
    lines = (workdir / "metrics.jsonl").read_text()
    again = train(CONFIG, workdir, mesh=parallel.make_mesh(2))
    chex.assert_trees_all_equal(jax.device_get(again), jax.device_get(expected))
    assert (workdir / "metrics.jsonl").read_text() == lines


def test_a_run_directory_has_what_the_docs_say(straight):
    workdir, _ = straight
    assert json.loads((workdir / "config.json").read_text())["model"]["label_size"] == 2
    assert json.loads((workdir / "provenance.json").read_text())
    records = [
        json.loads(s) for s in (workdir / "metrics.jsonl").read_text().split("\n") if s
    ]
    assert [r["nimg"] for r in records] == sorted({r["nimg"] for r in records})
    assert records[-1]["nimg"] == 208
    assert {"loss/D", "loss/G", "r1", "scores/real", "scores/fake"} <= set(records[-1])
    assert list((workdir / "tensorboard").iterdir())
    names = sorted(path.name for path in (workdir / "samples").iterdir())
    assert names[-1] == "reals_000000.000.png"
    assert "fakes_000000.208.png" in names
    for phase in phases(CONFIG.schedule, 16):
        assert f"fakes_{phase.end_nimg / 1000:010.3f}.png" in names


def test_a_run_loads_as_a_generator_of_its_average(straight):
    workdir, state = straight
    generator = stylegan_jax.load(workdir)
    chex.assert_trees_all_equal(
        jax.device_get(generator.params), jax.device_get(state.g_ema)
    )
    assert generator.resolution == 16 and generator.alpha is None
    z = np.zeros((2, 6), "f")
    with pytest.raises(ValueError, match="conditional"):
        generator.sample(z)
    images = generator.sample(z, labels=np.eye(2, dtype="f"))
    chex.assert_shape(images, (2, 16, 16, 3))


def test_a_checkpoint_loads_as_far_as_it_had_grown(straight):
    workdir, _ = straight
    schedule = phases(CONFIG.schedule, 16)
    fades = 0
    for nimg, path in stored.step_directories(workdir / "checkpoints"):
        generator = stylegan_jax.load(path)
        phase = next(p for p in schedule if p.start_nimg < nimg <= p.end_nimg)
        assert generator.resolution == phase.resolution
        if not phase.fading:
            assert generator.alpha is None
            continue
        fades += 1
        # The fade begins at 50 images and takes 50.
        np.testing.assert_allclose(generator.alpha, min((nimg - 50) / 50, 1), rtol=1e-6)
    assert fades


def test_another_configuration_does_not_continue_a_run(straight):
    workdir, _ = straight
    other = dataclasses.replace(CONFIG, optimizer=OptimizerConfig(beta2=0.9))
    with pytest.raises(UserError, match=r"optimizer\.beta2"):
        train(other, workdir)


def test_a_longer_total_continues_a_complete_run(straight, tmp_path):
    workdir, _ = straight
    shutil.copytree(workdir, tmp_path / "run")
    schedule = dataclasses.replace(CONFIG.schedule, total_kimg=0.24)
    longer = dataclasses.replace(CONFIG, schedule=schedule)
    state = train(longer, tmp_path / "run", mesh=parallel.make_mesh(2))
    assert int(state.nimg) == 240


def test_numbers_that_are_not_finite_end_the_run_and_keep_the_good_checkpoint(
    straight, tmp_path
):
    workdir, _ = straight
    run = tmp_path / "run"
    shutil.copytree(workdir, run)
    stored = json.loads((run / "config.json").read_text())
    stored["optimizer"]["learning_rate"] = "1e+30"
    stored["schedule"]["total_kimg"] = 0.4
    (run / "config.json").write_text(json.dumps(stored))
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    wild = dataclasses.replace(
        CONFIG,
        optimizer=OptimizerConfig(learning_rate=ByResolution(1e30)),
        schedule=dataclasses.replace(CONFIG.schedule, total_kimg=0.4),
    )
    with pytest.raises(NonFiniteError, match=r"last good checkpoint is .*208"):
        train(wild, run, mesh=parallel.make_mesh(2))
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before


def test_labels_that_the_data_lacks_are_refused(tmp_path):
    model = dataclasses.replace(CONFIG.model, label_size=7)
    with pytest.raises(UserError, match=r"label_size is 7, but portraits has 2"):
        train(dataclasses.replace(CONFIG, model=model), tmp_path / "run")


@pytest.mark.parametrize("name", ["nothing", "empty", "text.pkl"])
def test_what_is_no_network_is_refused_in_one_sentence(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pkl").write_text("hello")
    with pytest.raises(UserError):
        stylegan_jax.load(tmp_path / name)
