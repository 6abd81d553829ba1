"""Continuing a run with other settings or data, and runs that cannot end well."""

import dataclasses
import itertools
import json
import shutil
import signal
import threading

import jax
import numpy as np
import pytest

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.commands import train as command
from stylegan_jax.commands.recipe_files import load_recipe
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io import images, locks
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs import run_directory
from stylegan_jax.training import compiling, loop, recovery, start
from stylegan_jax.training.config import Config
from stylegan_jax.training.report import Report
from stylegan_jax.training.schedule import ScheduleConfig, phases
from tests import tiny

pytestmark = pytest.mark.usefixtures("compiled_once")
RECIPE = """
from stylegan_jax.training.state import OptimizerConfig
from tests import tiny

def get_config():
    return tiny.ring(optimizer=OptimizerConfig(learning_rate="0.001,1:0.002"))
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tiny.py").write_text(RECIPE)
    return tmp_path / "tiny.py"


def run(recipe, *words):
    command.main([str(recipe), "--workdir", str(recipe.parent / "run"), *words])
    return recipe.parent / "run"


def starts(workdir):
    return json.loads((workdir / "provenance.json").read_text())


def newest(workdir):
    return run_directory.shown(workdir)


def arrays(workdir):
    from stylegan_jax.runs.checkpoint import load_latest

    state = load_latest(workdir, ["g_params", "d_params", "g_opt_state"]).state
    return jax.tree.leaves(state)


def go_on(workdir, config, *, change=False, nimg=None):
    """Begins or continues a run, which then has a checkpoint; nothing is trained."""
    changed = start.changes(workdir, config, change=change)
    run_directory.begin(
        workdir,
        config,
        open_source(config.data),
        devices=[],
        resolution=config.model.resolution,
        changed=changed,
    )
    if nimg is not None:
        (workdir / "checkpoints" / f"nimg_{nimg:09d}").mkdir(parents=True)


def with_values(config, **values):
    """With `section__field=value` in place of what was there."""
    for name, value in values.items():
        section, field = name.split("__")
        part = dataclasses.replace(getattr(config, section), **{field: value})
        config = dataclasses.replace(config, **{section: part})
    return config


def test_settings_are_of_three_kinds(recipe, caplog):
    config, workdir = load_recipe(recipe), recipe.parent / "run"
    go_on(recipe.parent / "a b", config, nimg=32)
    with pytest.raises(UserError, match=r"`init` '\S+a b' for a new run"):
        go_on(recipe.parent / "a b", with_values(config, model__mlp_width=16))
    go_on(workdir, config, nimg=32)
    before = (workdir / "config.json").read_text()
    slower = with_values(config, optimizer__learning_rate=ByResolution(0.0005))
    with pytest.raises(UserError, match=r"learning_rate: .*-> 0\.0005\n`change`"):
        go_on(workdir, slower)
    wider = with_values(config, model__mlp_width=16)
    with pytest.raises(UserError, match=r"mlp_width: 8 -> 16\n.*`init` .*run for"):
        go_on(workdir, wider, change=True)
    assert (workdir / "config.json").read_text() == before and len(starts(workdir)) == 1
    free = {"schedule__total_kimg": 0.048, "model__remat": True}
    go_on(workdir, with_values(config, **free), nimg=48)
    slower = with_values(slower, model__remat=True)
    go_on(workdir, slower, change=True)
    assert starts(workdir)[2]["nimg"] == 48
    assert starts(workdir)[2]["changes"] == [
        "optimizer.learning_rate: 0.001,1:0.002 -> 0.0005",
        "schedule.total_kimg: 0.048 -> 0.064",
    ]
    assert "run goes on with optimizer.learning_rate: " in caplog.messages[-1]
    go_on(workdir, slower)  # the same again needs no `change`
    shutil.rmtree(workdir / "checkpoints")
    go_on(workdir, with_values(slower, model__mlp_width=16))
    assert "begins anew, with model.mlp_width: 8 -> 16" in caplog.messages[-1]
    assert json.loads((workdir / "config.json").read_text())["model"]["mlp_width"] == 16


def test_a_run_that_has_grown_does_not_shrink(tmp_path):
    schedule = ScheduleConfig(stable_kimg=0.1, fade_kimg=0.1)
    config = Config(
        model=tiny.MODEL, data=DataConfig(portraits_size=4), schedule=schedule
    )
    go_on(tmp_path / "run", config, nimg=250)
    slower = with_values(config, schedule__stable_kimg=0.4)
    with pytest.raises(
        UserError, match=r"has grown to 16 px.* at 8 px after 0\.25 kimg"
    ):
        go_on(tmp_path / "run", slower, change=True)
    go_on(
        tmp_path / "run", with_values(config, schedule__stable_kimg=0.14), change=True
    )


def test_every_field_of_the_configuration_has_a_kind_on_purpose():
    from stylegan_jax.io import records

    names = records.flatten(Config())
    free = {x for x in names if run_directory.matches(x, start.FREE)}
    from_here = {x for x in names if run_directory.matches(x, start.FROM_HERE)} - free
    rest = {x for x in names if x not in free | from_here}
    assert {x for x in rest if not x.startswith("model.")} == {"optimizer.beta1"}
    assert {x for x in free | from_here if x.startswith("model.")} == {
        "model.remat",
        "model.dtype",
    }


@pytest.mark.thorough
def test_another_batch_size_from_here_on_is_a_run_of_its_own_bit_by_bit(recipe):
    """Stopped and continued after the change, or straight on: the same."""
    workdir = run(recipe, "--schedule.total-kimg", "0.024")
    assert newest(workdir) == 24
    shutil.copytree(workdir, recipe.parent / "copy")
    other = ["--schedule.batch-size", "12"]
    run(recipe, *other, "--change")
    assert newest(workdir) == 72  # in steps of 12 from 24
    straight = arrays(workdir)
    shutil.rmtree(workdir)
    (recipe.parent / "copy").rename(workdir)
    run(recipe, *other, "--change", "--schedule.total-kimg", "0.04")
    assert newest(workdir) == 48
    run(recipe, *other)
    for a, b in zip(straight, arrays(workdir), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_schedule_taken_over_begins_where_it_was_and_ends_where_it_should():
    old = ScheduleConfig(
        stable_kimg=0.05,
        fade_kimg=0.05,
        total_kimg=0.5,
        repeats=1,
        batch_size=ByResolution(8),
    )
    new = dataclasses.replace(old, batch_size=ByResolution(6))
    for nimg in (8, 48, 56, 104, 112, 200):
        found = phases(new, 32, nimg)
        assert found[0].start_nimg == nimg and found[-1].end_nimg >= 500
        for a, b in itertools.pairwise(found):
            assert a.end_nimg == b.start_nimg
        same = [x for x in phases(old, 32) if x.end_nimg > nimg]
        assert [x.title for x in found] == [x.title for x in same]
        assert [x.end_nimg for x in phases(old, 32, nimg)] == [x.end_nimg for x in same]


def test_every_phase_is_looked_at_before_anything_is_written(recipe):
    for words in (["--schedule.batch-size", "6"], ["--schedule.accumulate", "3"]):
        for more in ([], ["--dry-run"]):
            with pytest.raises(UserError, match=r"1 px|accumulate"):
                run(recipe, *words, *more)
    assert not (recipe.parent / "run").exists()


def test_a_later_phase_is_looked_at_too(tmp_path):
    config = Config(
        model=ModelConfig(resolution=32, mbstd_group_size=4),
        data=DataConfig(portraits_size=4),
        schedule=ScheduleConfig(batch_size=ByResolution(16, ((16, 6),))),
    )
    with pytest.raises(UserError, match="batch_size 6 at 16 px"):
        loop.train(config, tmp_path / "run", mesh=parallel.make_mesh(1))
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_failures_name_the_flags_to_go_on_with(recipe, monkeypatch):
    plain = compiling.compile_step

    def diverging(*arguments):
        step = plain(*arguments)

        def nan(state, batch, key):
            state, metrics = step(state, batch, key)
            return state, metrics | {"loss/G": jax.numpy.float32(np.nan)}

        return nan

    def full(*arguments):
        def step(state, batch, key):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

        return step

    run(recipe, "--schedule.total-kimg", "0.032")
    for broken, words in (
        (diverging, r"--optimizer.learning-rate \(it is 0.001,1:0.002\), or .*is 10\)"),
        (full, r"out of device memory at 1 px .*--model.remat.* \(here 8\)"),
    ):
        monkeypatch.setattr(compiling, "compile_step", broken)
        with pytest.raises(UserError, match=words):
            run(recipe)
    monkeypatch.setattr(compiling, "compile_step", plain)
    run(recipe, "--change", "--optimizer.learning-rate", "0.0005")
    assert newest(recipe.parent / "run") == 64


def test_two_runs_in_one_workdir_the_second_touches_nothing(recipe):
    workdir = recipe.parent / "run"
    go_on(workdir, load_recipe(recipe), nimg=8)
    (workdir / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()  # being written
    before = sorted(workdir.rglob("*"))
    with locks.held(workdir / run_directory.LOCK, str(workdir)):
        with pytest.raises(UserError, match=rf"process \d+ on .* works on {workdir}"):
            run(recipe, "--schedule.total-kimg", "0.128")
        assert sorted(workdir.rglob("*")) == sorted([*before, workdir / ".lock"])
        assert len(starts(workdir)) == 1


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        picture = np.full((8, 8, 3), 40 * i, np.uint8)
        images.write_png(folder / f"{i}.png", picture)
    return folder


def begin(workdir, folder, caplog):
    caplog.clear()
    config = Config(
        model=ModelConfig(resolution=8), data=DataConfig(name="folder", path=folder)
    )
    go_on(workdir, start.check(config, open_source(config.data), 1))
    (workdir / "checkpoints" / "nimg_000000064").mkdir(parents=True, exist_ok=True)
    return [message for message in caplog.messages if "other images" in message]


def test_other_images_are_noticed_with_both_counts(
    photographs, tmp_path, caplog, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    workdir = tmp_path / "photos" / "run"  # inside the data
    assert not begin(workdir, "photos", caplog)
    stored = json.loads((workdir / "config.json").read_text())["data"]
    assert stored["path"] == str(photographs)
    (workdir / "samples").mkdir()
    images.write_png(workdir / "samples" / "reals.png", np.zeros((8, 8, 3), np.uint8))
    assert not begin(workdir, str(photographs), caplog)
    picture = np.full((8, 8, 3), 250, np.uint8)
    images.write_png(photographs / "4.png", picture)
    (message,) = begin(workdir, "photos", caplog)
    assert "4 of folder" in message and "5 of folder" in message
    assert not begin(workdir, "photos", caplog)
    images.write_png(photographs / "2.png", picture)  # as many, but another
    (message,) = begin(workdir, "photos", caplog)
    assert starts(workdir)[-1]["data"]["count"] == 5


@pytest.mark.thorough
def test_a_signal_while_the_next_phase_compiles_saves_and_leaves(
    tmp_path, monkeypatch, caplog
):
    config = Config(
        model=ModelConfig(
            resolution=16,
            z_dim=4,
            w_dim=4,
            mapping_width=4,
            mapping_layers=1,
            channel_max=4,
        ),
        data=DataConfig(portraits_size=4),
        schedule=ScheduleConfig(
            stable_kimg=0.016,
            fade_kimg=0.016,
            total_kimg=0.1,
            repeats=1,
            batch_size=ByResolution(8),
        ),
    )
    caplog.set_level("INFO")
    plain, release, compiled = compiling.compile_step, threading.Event(), []

    def compile_step(config, phase, mesh):
        if phase.resolution == 16:
            release.wait(600)
            compiled.append(phase)
        return plain(config, phase, mesh)

    def begin_phase(self, *options):
        threading.Timer(2, lambda: signal.pthread_kill(main, signal.SIGTERM)).start()

    main = threading.main_thread().ident
    monkeypatch.setattr(compiling, "compile_step", compile_step)
    monkeypatch.setattr(Report, "begin_phase", begin_phase)
    try:
        state = recovery.train(config, tmp_path, mesh=parallel.make_mesh(1))
        assert not compiled
    finally:
        release.set()
    first = phases(config.schedule, 16)[0].end_nimg
    assert int(state.nimg) <= first and newest(tmp_path) == int(state.nimg)
    assert "the same command continues" in caplog.text
