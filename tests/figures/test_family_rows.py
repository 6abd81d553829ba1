"""Rows of samples of several runs, their labels, and the data below them."""

import dataclasses
import json
import types
from typing import Any

import numpy as np
import pytest

import stylegan_jax
from stylegan_jax.commands.figure_run_flags import Family
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.errors import UserError
from stylegan_jax.figures import family_rows
from stylegan_jax.figures.family_rows import family
from stylegan_jax.figures.studio import Studio
from stylegan_jax.training.schedule import ScheduleConfig
from tests import tiny


@pytest.fixture
def runs(tmp_path):
    """A run of 200 images, and one of a perceptron of 3,000."""
    model = dataclasses.replace(tiny.POINTS, resolution=16, num_channels=3)
    saved = {3000: {"resolution": 16, "alpha": None}}
    schedule = ScheduleConfig(initial_resolution=16)
    old = tiny.start_run(tmp_path / "old", model, saved, schedule=schedule)
    return tiny.start_run(tmp_path / "new"), old


@pytest.fixture
def labels(monkeypatch):
    found, page = {}, Studio.page

    def recording(studio, rows, **labels):
        found.update(labels)
        return page(studio, rows, **labels)

    monkeypatch.setattr(Studio, "page", recording)
    return found


def evaluated(run, name, values):
    lines = [{"nimg": nimg, name: value} for nimg, value in values.items()]
    (run / "evaluations.jsonl").write_text("\n".join(map(json.dumps, lines)))


def test_rows_are_samples_of_the_newest_checkpoints_and_the_data(runs, cells, labels):
    evaluated(runs[0], "fid5k", {100: 9.0, 200: 8.25})
    evaluated(runs[1], "fid5k", {100: 9.0})  # none of the newest
    page = family(runs, [4, 5, 6], columns=2, cell=16)
    assert page.dtype == np.uint8 and page.std() > 10
    (filled,) = cells
    for start, run in zip((0, 4), runs, strict=True):
        studio = Studio(stylegan_jax.load(run))
        expected = studio.draw(studio.ws([4, 5, 6], psi=1.0))
        assert np.array_equal(filled[start : start + 3], expected)
        assert filled[start + 3] is None
    data = Portraits(32)
    assert np.array_equal(filled[8:], [data.image(0, 16), data.image(16, 16)])
    assert labels["row_labels"] == ["new", "0 kimg", "old", "3 kimg", "data"]
    assert labels["column_groups"] == ()


def test_titles_and_scores_are_beside_the_rows(runs, labels):
    evaluated(runs[0], "fid5k", {100: 9.0, 200: 8.25})
    evaluated(runs[1], "fid5k", {3000: 80.0})
    family(runs, [0], titles=["A 2018", "B 2014"], cell=16)
    a, b = "A 2018, 0 kimg: 8.2", "B 2014, 3 kimg: 80.0"
    assert labels["row_labels"] == [a, b, "data"]
    assert labels["column_groups"] == [("fid5k", 1)]


def test_samples_of_conditional_runs_are_of_the_class(tmp_path, cells):
    model = dataclasses.replace(tiny.MODEL_8, label_size=3)
    run = tiny.start_run(tmp_path / "run", model, {100: {"resolution": 8}})
    label = np.eye(1, 3, 2, dtype=np.float32)
    family([run], [0, 1], label=label, cell=8)
    studio = Studio(stylegan_jax.load(run), label)
    expected = studio.draw(studio.ws([0, 1], psi=1.0))
    assert np.array_equal(cells[0][:2], expected)


def test_the_command_draws_the_run_of_a_checkpoint_and_the_class(runs, monkeypatch):
    given: dict[str, Any] = {}

    def recording(runs, seeds, **options):
        given.update(options, runs=runs)

    monkeypatch.setattr(family_rows, "family", recording)
    (checkpoint,) = (runs[1] / "checkpoints").glob("nimg_*")
    figure = Family(network=str(checkpoint), outdir=runs[0], beside=(runs[0],))
    studio: Any = types.SimpleNamespace(label="a class")
    figure.draw(studio)
    assert given["runs"] == (runs[1], runs[0]) and given["label"] == "a class"


def test_mistakes_are_explained(runs, tmp_path):
    with pytest.raises(UserError, match="1 `titles` for 2 runs"):
        family(runs, [0], titles=["A"])
    with pytest.raises(UserError, match="no score fid5k is known"):
        family(runs, [0], score="fid5k")
    with pytest.raises(UserError, match="no checkpoints; give a run directory"):
        family([tmp_path], [0])
