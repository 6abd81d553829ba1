"""Time of training by recorded rates, and samples after equal times."""

import dataclasses
import json

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.figures import growing_rows, speed_rows
from stylegan_jax.figures.studio import Studio
from stylegan_jax.io import plots
from tests import tiny


def write(run, ticks, scores=()):
    """Ticks are (nimg, images per second), scores (nimg, value)."""
    lines = [{"nimg": n, "images_per_second": rate} for n, rate in ticks]
    lines += [{"nimg": n, "metrics/fid5k": value} for n, value in scores]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))


def test_seconds_add_up_over_the_rates(tmp_path):
    write(tmp_path, [(100, 50.0), (200, 25.0), (400, 10.0)], [(300, 9.0)])
    clock = speed_rows.clock_of(tmp_path)
    assert clock.seconds.tolist() == [0, 2, 6, 26]
    assert clock.at(300) == 16 and clock.at(50) == 1


def test_samples_are_of_equal_times_and_scores_over_them(tmp_path, monkeypatch, cells):
    # 100 images take 10 s of the fast run and 20 s of the slow one; both end at 200.
    fast = tiny.start_run(tmp_path / "fast")
    slow = tiny.start_run(tmp_path / "slow")
    write(fast, [(100, 10.0), (200, 10.0)], [(100, 8.0), (200, 4.0)])
    write(slow, [(100, 5.0), (200, 5.0)], [(100, 8.0), (200, 2.0)])
    drawn, draw = {}, plots.panels_of_lines
    monkeypatch.setattr(
        plots,
        "panels_of_lines",
        lambda panels, **options: drawn.update(panels) or draw(panels, **options),
    )
    figure = speed_rows.growing_speed([fast, slow], [0], columns=2, cell=16)
    assert figure.dtype == np.uint8 and figure.std() > 10
    assert drawn["fid5k over minutes"] == {
        "fast": ([10 / 60, 20 / 60], [8.0, 4.0]),
        "slow": ([20 / 60, 40 / 60], [8.0, 2.0]),
    }
    assert drawn["fid5k over kimg"]["slow"] == ([0.1, 0.2], [8.0, 2.0])
    # After 10 s and 20 s: checkpoints 100 (8 px) and 200 of the fast run, the first of
    # the slow one twice.
    early, late, *slow_ones = cells[0]
    assert (early != late).any()
    assert all((early == picture).all() for picture in slow_ones)


def test_runs_without_rates_or_scores_are_refused(tmp_path):
    run = tiny.start_run(tmp_path / "run")
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="no record of its speed"):
        speed_rows.growing_speed([run, run], [0])
    write(run, [(100, 10.0)])
    with pytest.raises(UserError, match="no score is known of all runs"):
        speed_rows.growing_speed([run, run], [0])


def test_scores_of_smaller_images_are_left_out(tmp_path):
    sizes = {100: 4.0, 200: 8.0, 300: 8.0}
    lines = [{"nimg": nimg, "resolution": size} for nimg, size in sizes.items()]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    scores = {100: 1.0, 200: 9.0, 300: 7.0}
    assert speed_rows._of_full_size(tmp_path, scores) == {200: 9.0, 300: 7.0}


def test_samples_of_conditional_runs_are_of_the_class(tmp_path, monkeypatch, cells):
    model = dataclasses.replace(tiny.MODEL_8, label_size=3)
    saved = {n: {"resolution": 8, "alpha": None} for n in (100, 200)}
    run = tiny.start_run(tmp_path / "run", model, saved)
    write(run, [(100, 10.0), (200, 10.0)], [(100, 8.0), (200, 4.0)])
    label = np.eye(1, 3, 2, dtype=np.float32)
    speed_rows.growing_speed([run, run], [0], label=label, columns=1, cell=8)
    film = growing_rows.growing(run, [0], label=label, cell=8)
    (speed,), (growing, _) = cells[0], cells[-1]
    expected = Studio(tiny.generator(model), label)
    (picture,) = expected.draw(expected.ws([0], psi=0.7))
    assert film.count == 20
    np.testing.assert_array_equal(speed, picture)
    np.testing.assert_array_equal(growing, picture)
