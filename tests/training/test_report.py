"""Metrics of a run, their files, and the progress that is shown."""

import io
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.commands import train_display
from stylegan_jax.io import images
from stylegan_jax.training.report import LogLines, NonFiniteError, Progress, Report


def lines_of(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_tick_writes_the_mean_over_its_own_steps_and_their_repeats(tmp_path):
    with Report(tmp_path, 400_000) as report:
        report.begin_phase("8 px", 8, 1.0)
        report.defer(100, {"loss/g": jnp.array([1.0, 2.0]), "r1": jnp.float32(4)})
        report.defer(200, {"loss/g": jnp.array([3.0, 10.0])})
        assert report.flush(200, 0.25) == {"loss/g": 4.0, "r1": 4.0}
        report.defer(300, {"loss/g": jnp.float32(2.5)})
        assert report.flush(300) == {"loss/g": 2.5}
    first, second = lines_of(tmp_path)
    expected = {"nimg": 200, "kimg": 0.2, "loss/g": 4, "r1": 4, "alpha": 0.25}
    assert expected.items() <= first.items() and first["resolution"] == 8
    assert second["loss/g"] == 2.5 and "alpha" not in second
    (path,) = (tmp_path / "tensorboard").iterdir()
    content = path.read_bytes()
    assert b"loss/g" in content and np.float32(2.5).tobytes() in content


def test_a_disk_that_refuses_costs_a_tick_and_not_the_run(tmp_path, caplog):
    with Report(tmp_path, 400_000) as report:
        for nimg in (100, 200, 300):
            blocked = nimg == 200
            if blocked:
                (tmp_path / "metrics.jsonl").rename(tmp_path / "kept")
                (tmp_path / "metrics.jsonl").mkdir()
            report.defer(nimg, {"x": jnp.float32(nimg)})
            assert report.flush(nimg) == {"x": nimg}
            if blocked:
                (tmp_path / "metrics.jsonl").rmdir()
                (tmp_path / "kept").rename(tmp_path / "metrics.jsonl")
        (message,) = caplog.messages
        assert "cannot be written" in message and "training goes on" in message
        (tmp_path / "samples").write_text("not a folder")
        picture = np.zeros((4, 4, 3), np.uint8)
        report.write_grid("fakes", 300, picture)
        assert len(caplog.messages) == 2
    assert [line["x"] for line in lines_of(tmp_path)] == [100, 300]


def test_deferring_never_moves_anything_off_the_device(tmp_path):
    metrics = {"x": jnp.arange(4.0)}
    with Report(tmp_path, 400_000) as report:
        with jax.transfer_guard("disallow_explicit"):
            report.defer(100, metrics)
        with jax.transfer_guard("disallow"):
            assert report.flush(100) == {"x": 1.5}


def test_ticks_are_due_once_per_interval(tmp_path):
    with Report(tmp_path, 400_000, 700) as report:
        report.begin_phase("8 px", 8, 0.5)
        assert not report.due(999) and report.due(1000)
        report.flush(1024)
        assert not report.due(1499) and report.due(1500)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_metric_that_is_not_finite_stops_with_its_name_place_and_way_back(
    tmp_path, value
):
    good = {"loss/d": jnp.float32(1), "r1": jnp.float32(1)}
    with Report(tmp_path, 400_000) as report:
        report.defer(12_300, good)
        report.defer(12_400, good | {"r1": jnp.array([1.0, value])})
        report.defer(12_500, {name: jnp.float32(np.nan) for name in good})
        with pytest.raises(NonFiniteError) as caught:
            report.flush(12_500, None, Path("run/checkpoints/nimg_7"))
    message = str(caught.value)
    assert message.startswith("r1 not finite at 12.400 kimg")
    assert "run/checkpoints/nimg_7" in message
    assert lines_of(tmp_path)[-1]["r1"] is None  # written, and strict JSON


def test_continuing_drops_the_lines_after_the_restored_count(tmp_path):
    with Report(tmp_path, 400_000) as report:
        for nimg in (1000, 2000, 3000):
            report.write(nimg, {"fid": nimg / 10})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"nimg": 1500, "fi')  # killed in the middle of a line
    with Report(tmp_path, 400_000, 2000) as report:
        assert [line["nimg"] for line in lines_of(tmp_path)] == [1000, 2000]
        report.write(3000, {"fid": 1.0})
    assert [line["fid"] for line in lines_of(tmp_path)] == [100, 200, 1]
    with Report(tmp_path, 400_000):  # without a checkpoint all begins anew
        assert lines_of(tmp_path) == []


def test_grids_are_written_as_samples_named_by_kimg(tmp_path):
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    with Report(tmp_path, 400_000) as report:
        report.write_grid("fakes", 12_345, image)
    path = tmp_path / "samples" / "fakes_000012.345.png"
    np.testing.assert_array_equal(images.read_image(path, 3), image)


def test_other_processes_fetch_but_write_and_show_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    workdir = tmp_path / "run"
    with Report(workdir, 400_000, reporter=train_display.show) as report:
        report.begin_phase("8 px", 8, 1.0)
        report.defer(100, {"x": jnp.float32(2)})
        assert report.flush(100) == {"x": 2.0}
        report.write(100, {"fid": 1.0})
        report.write_grid("fakes", 100, np.zeros((2, 2, 3), np.uint8))
        report.defer(200, {"x": jnp.float32(np.nan)})
        with pytest.raises(NonFiniteError):
            report.flush(200)
    assert capsys.readouterr().out == "" and not workdir.exists()


def test_the_rate_leaves_out_the_compilation_of_a_phase(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Report(tmp_path, 400_000) as report:
        report.begin_phase("8 px", 8, 1.0)
        now[0] = 500.0  # the first step compiles
        report.defer(100, {})
        now[0] = 510.0
        report.defer(200, {})
        report.flush(200)
    assert lines_of(tmp_path)[0]["images_per_second"] == pytest.approx(10.0)


def test_tick_lines_of_a_run_are_aligned_and_tell_the_time_left():
    early = Progress(400_000, 12_300, "", 8, None, False, 1530.0, {"g": -1.5, "d": 2})
    late = Progress(400_000, 399_900, "", 1024, 0.5, False, 9.25, {"g": 0.25, "d": 2})
    early.seconds_left = 253.4
    for word in ("images/s", "left", "g ", "d "):
        assert early.line().index(f"  {word}") == late.line().index(f"  {word}")
    assert "left 4m 13s" in early.line()
    assert Progress(400_000, 100_000, rate=None).left == "?"


def a_tick(workdir, reporter):
    with Report(workdir, 400_000, reporter=reporter) as report:
        report.begin_phase("32 px, fading in", 32, 1.0)
        report.defer(100_000, {"loss/g": jnp.float32(0.5)})
        report.flush(100_000, 0.42)
        report.note("a note of `augment.mode=ada`")


LINE = "kimg 100.0/400    32px alpha 0.42  images/s "


def test_the_library_logs_its_lines(tmp_path, caplog, capsys):
    with caplog.at_level("INFO"):
        a_tick(tmp_path, LogLines)
    _, tick, note = caplog.messages
    assert tick.startswith(LINE) and note == "a note of `augment.mode=ada`"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_gets_a_display_and_a_file_a_line_per_tick(
    tmp_path, monkeypatch, terminal
):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    a_tick(tmp_path, train_display.show)
    shown = stream.getvalue()
    assert "32 px, fading in" in shown and "a note of --augment.mode ada" in shown
    if not terminal:
        _, tick, _ = shown.splitlines()
        assert "\x1b" not in shown and tick.startswith(LINE)
        assert tick.endswith("loss/g +0.5")
        return
    for text in ("alpha 0.42", "100.0/400 kimg", "25.0%", "+0.5"):
        assert text in shown
    assert "\x1b[?25h" in shown  # the cursor is given back


def test_a_reader_that_leaves_does_not_stop_training(tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    a_tick(tmp_path, train_display.show)
    assert len(lines_of(tmp_path)) == 1
