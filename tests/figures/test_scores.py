import json
import shutil

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.figures import score_curves
from stylegan_jax.io import plots


@pytest.fixture
def run(tmp_path):
    """Two checkpoints evaluated, one of them twice, and one scored in training."""
    run = tmp_path / "run"
    run.mkdir()
    evaluated = [(2000, 9.0), (1000, 8.0), (2000, 7.0)]
    lines = [{"metric": "fid5k", "nimg": n, "fid5k": x} for n, x in evaluated]
    text = "\n".join(map(json.dumps, lines))
    (run / "evaluations.jsonl").write_text(text + '\n{"metric": "fid5k", "fi')
    trained = [
        {"nimg": 1500, "kimg": 1.5, "loss/G": 1.0},
        {"nimg": 3000, "kimg": 3.0, "metrics/fid5k": 6.0, "metrics/ls1k_w": 2.0},
    ]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, trained)))
    return run


def test_scores_of_training_and_of_evaluate_are_one_history(run):
    assert score_curves.read_scores(run) == {
        "fid5k": {1000: 8.0, 2000: 7.0, 3000: 6.0},
        "ls1k_w": {3000: 2.0},
    }


def test_each_score_with_a_course_is_a_panel(run, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plots, "panels_of_lines", lambda panels, x_label: drawn.update(panels)
    )
    (tmp_path / "other").mkdir()
    score_curves.scores([run, tmp_path / "other"])
    assert drawn == {"fid5k": {"run": ([1.0, 2.0, 3.0], [8.0, 7.0, 6.0])}}


def test_the_picture_has_the_panels(run):
    one = score_curves.scores([run], ["fid5k"])
    two = score_curves.scores([run], ["fid5k", "ls1k_w"])
    assert one.dtype == "uint8" and one.std() > 10
    assert two.shape == (one.shape[0], 2 * one.shape[1], 3)


def test_unknown_scores_are_explained(run, tmp_path):
    with pytest.raises(UserError, match="no score 'fid50k'; known: fid5k, ls1k_w"):
        score_curves.scores([run], ["fid50k"])
    with pytest.raises(UserError, match="no score is known at two checkpoints"):
        score_curves.scores([tmp_path])
    for other in (run / "none", run / "metrics.jsonl"):
        with pytest.raises(UserError, match=f"{other} is no run directory"):
            score_curves.scores([run, other])


def test_overfitting_has_a_panel_for_all_that_was_recorded(run, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plots, "panels_of_lines", lambda panels, **options: drawn.update(panels)
    )
    with pytest.raises(
        UserError, match=r"no record of overfitting: train with `data.h"
    ):
        score_curves.overfitting(run)
    lines = [
        {"nimg": 1000, "overfitting/train": 1.0, "overfitting/fake": -1.0},
        {"nimg": 1000, "overfitting/held_out": 0.5, "overfitting/r_v": 0.25},
    ]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    score_curves.overfitting(run)
    at = [1.0]
    assert drawn == {
        "mean scores": {
            "in training": (at, [1.0]),
            "held out": (at, [0.5]),
            "samples": (at, [-1.0]),
        },
        "overfitting": {"r_v": (at, [0.25])},
    }


def test_runs_in_folders_of_one_name_are_told_apart(run, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plots, "panels_of_lines", lambda panels, x_label: drawn.update(panels)
    )
    other = tmp_path / "others/run"
    shutil.copytree(run, other)
    score_curves.scores([run, other])
    assert [*drawn["fid5k"]] == [f"{tmp_path.name}/run", "others/run"]
    assert score_curves.run_names([run, run / ".", other.parent]) == [
        *("run", "run", "others")
    ]
