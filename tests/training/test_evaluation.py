"""Scores in the course of training: when, where they go, and what they do not touch."""

import dataclasses
import json
import logging
import os
import shutil
import signal
import types

import chex
import jax
import numpy as np
import pytest

import stylegan_jax
from stylegan_jax.data.config import DataConfig
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io import timing
from stylegan_jax.runs import retention
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training import compiling
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.evaluation import Evaluator, MetricsConfig, criterion
from stylegan_jax.training.loop import train
from stylegan_jax.training.schedule import ScheduleConfig
from tests import tiny

# Checkpoints at 40, 80, ..., 240 images, of which the newest is kept.
CONFIG = Config(
    model=tiny.POINTS,
    data=DataConfig(name="ring", num_channels=2),
    schedule=ScheduleConfig(
        initial_resolution=1, total_kimg=0.24, repeats=1, batch_size=8
    ),
    checkpoint=CheckpointConfig(every_kimg=0.04, keep_last=1, keep_every_kimg=None),
    run=RunConfig(tick_kimg=0.04, grid_ticks=10**6),
)
HOURS = 1e5  # seconds


@dataclasses.dataclass
class Scripted:
    """Gives what it was told to, in turn, and notes what it was given."""

    results: list
    seen: list = dataclasses.field(default_factory=list)
    after: object = None  # called at each

    def __call__(self, generator):
        self.seen.append(generator)
        np.random.seed(1)  # as somebody else's code may
        generator.sample(np.zeros((1, 6), "f"), psi=1.0)
        if self.after:
            self.after()
        result = self.results[len(self.seen) - 1]
        if isinstance(result, Exception):
            raise result
        return result


def run(config, workdir, *evaluators):
    mesh = parallel.make_mesh(2)
    return jax.device_get(train(config, workdir, mesh=mesh, evaluators=evaluators))


def lines_of(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def scores_of(workdir, name):
    return {r["nimg"]: r[name] for r in lines_of(workdir) if name in r}


def kept(workdir):
    names = (path.name for path in (workdir / "checkpoints").glob("nimg_*"))
    return sorted(int(name.removeprefix("nimg_")) for name in names)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run that was scored, on a clock in which that took hours."""
    workdir = tmp_path_factory.mktemp("runs") / "scored"
    clock, compiled = [0.0], []
    own_time, compile_step = timing.time, compiling.compile_step
    good = Scripted(
        [{"fid": 5.0, "other": 1.0}, {"fid": 2.0}, {"fid": 7.0}],
        after=lambda: clock.__setitem__(0, clock[0] + HOURS),
    )
    bad = Scripted([RuntimeError("no memory"), {"x": np.nan}])
    with pytest.MonkeyPatch.context() as patch:
        monotonic = lambda: own_time.monotonic() + clock[0]  # noqa: E731
        patch.setattr(timing, "time", types.SimpleNamespace(monotonic=monotonic))
        patch.setattr(
            compiling,
            "compile_step",
            lambda *args: compiled.append(1) or compile_step(*args),
        )
        state = run(
            CONFIG,
            workdir,
            Evaluator("fid", 0.08, good, {"fid": False}),
            Evaluator("odd", 0.2, bad, {"x": True}),
        )
    assert len(compiled) == 1
    return workdir, state, good, bad


@pytest.mark.thorough
def test_training_is_bitwise_what_it_would_be_without(scored, tmp_path):
    _, state, _, _ = scored
    chex.assert_trees_all_equal(state, run(CONFIG, tmp_path / "plain"))


def test_scores_are_taken_at_checkpoints_that_are_due_and_at_the_end(scored):
    workdir, _, good, bad = scored
    assert scores_of(workdir, "metrics/fid") == {80: 5.0, 160: 2.0, 240: 7.0}
    assert scores_of(workdir, "metrics/other") == {80: 1.0}
    assert len(good.seen) == 3 and len(bad.seen) == 2  # at 200 and at the end


def test_what_fails_is_a_warning(scored, tmp_path, caplog):
    workdir, _, _, _ = scored
    assert scores_of(workdir, "metrics/x") == {240: None}
    short = dataclasses.replace(CONFIG.schedule, total_kimg=0.04)
    with caplog.at_level(logging.WARNING):
        run(
            dataclasses.replace(CONFIG, schedule=short),
            tmp_path / "run",
            Evaluator("odd", 1.0, Scripted([RuntimeError("no memory")])),
        )
    assert "odd at 0.040 kimg was not taken (RuntimeError: no memory)" in caplog.text
    assert kept(tmp_path / "run") == [40]


def test_the_scored_generator_is_the_one_that_is_saved(scored):
    workdir, _, good, _ = scored
    for path, seen in (("best", good.seen[1]), ("nimg_000000240", good.seen[2])):
        saved = stylegan_jax.load(workdir / "checkpoints" / path)
        chex.assert_trees_all_equal(jax.device_get(saved), jax.device_get(seen))
    weights = [np.asarray(g.params["synthesis"]["dense0"]["weight"]) for g in good.seen]
    assert (weights[0] != weights[1]).any()


def test_the_best_checkpoint_outlives_those_after_it(scored):
    workdir, _, _, _ = scored
    assert kept(workdir) == [160, 240]
    best = json.loads((workdir / "checkpoints" / "best.json").read_text())
    assert best == {
        "checkpoint": "nimg_000000160",
        "nimg": 160,
        "resolution": 1,
        "score": "fid",
        "value": 2.0,
        "larger_is_better": False,
    }
    path = workdir / "checkpoints" / "nimg_000000160"
    assert retention.read_scores(path) == {"fid": {"fid": 2.0}}


def test_the_time_of_scoring_is_no_time_of_training(scored):
    workdir, _, _, _ = scored
    rates = [r["images_per_second"] for r in lines_of(workdir) if "loss/D" in r]
    assert len(rates) == 6 and min(rates[1:]) > 240 / HOURS * 100


def test_a_run_that_was_stopped_while_scored_takes_the_rest_when_it_goes_on(tmp_path):
    short = dataclasses.replace(CONFIG.schedule, total_kimg=0.16)
    config = dataclasses.replace(CONFIG, schedule=short)
    first = Scripted(
        [{"a": 3.0}, {"a": 4.0}],
        after=lambda: len(first.seen) == 1 and os.kill(os.getpid(), signal.SIGTERM),
    )
    second = Scripted([{"b": 1.0}, {"b": 2.0}])
    evaluators = (
        Evaluator("first", 0.08, first, {"a": True}),
        Evaluator("second", 0.08, second, {"b": True}),
    )
    assert run(config, tmp_path, *evaluators).nimg == 80
    assert (len(first.seen), len(second.seen)) == (1, 0)
    assert run(config, tmp_path, *evaluators).nimg == 160
    assert scores_of(tmp_path, "metrics/a") == {80: 3.0, 160: 4.0}
    assert scores_of(tmp_path, "metrics/b") == {80: 1.0, 160: 2.0}
    chex.assert_trees_all_equal(
        jax.device_get(second.seen[0]), jax.device_get(first.seen[0])
    )
    run(config, tmp_path, *evaluators)  # complete: nothing is left
    assert (len(first.seen), len(second.seen)) == (2, 2)


def test_metrics_may_come_and_go_in_a_run_and_older_runs_know_none(scored, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(scored[0], workdir)
    metrics = MetricsConfig(names="fid5k", best="fid5k")
    fid = Evaluator("fid5k", 1.0, Scripted([]), {"fid5k": False})
    run(dataclasses.replace(CONFIG, metrics=metrics), workdir, fid)
    path = workdir / "config.json"
    stored = json.loads(path.read_text())
    assert stored.pop("metrics")["names"] == "fid5k"
    path.write_text(json.dumps(stored))
    assert run(CONFIG, workdir).nimg == 240
    assert stylegan_jax.load(workdir).resolution == 1


def test_what_chooses_the_best_is_a_score_that_somebody_gives():
    evaluators = [
        Evaluator("a", 1, Scripted([])),
        Evaluator("b", 1, Scripted([]), {"b_x": True, "b_y": False}),
    ]
    assert criterion(None, evaluators) == ("b_x", True)
    assert criterion("b_y", evaluators) == ("b_y", False)
    assert criterion(None, evaluators[:1]) is None
    with pytest.raises(UserError, match=r"'b' is not a score.*b_x, b_y"):
        criterion("b", evaluators)


@pytest.mark.parametrize(
    "wrong", [{"every_kimg": 0.0}, {"batch_size": 0}, {"best": "fid5k"}]
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MetricsConfig(**wrong)
