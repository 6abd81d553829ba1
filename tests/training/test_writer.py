"""Metrics, their files, and what the terminal shows."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.io import images
from stylegan_jax.training import writer as writer_module
from stylegan_jax.training.display import Progress, tick_line
from stylegan_jax.training.writer import NonFiniteError, Writer

ROOT = Path(writer_module.__file__).resolve().parents[2]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def open_writer(workdir, **keywords):
    return Writer(
        workdir, 400, stream=keywords.pop("stream", io.StringIO()), **keywords
    )


def lines_of(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_tick_writes_the_mean_over_all_deferred_steps_and_repeats(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.begin_phase(0, title="8 px", resolution=8)
        writer.defer(100, {"loss/g": jnp.array([1.0, 2.0]), "r1": jnp.float32(4)})
        writer.defer(200, {"loss/g": jnp.array([3.0, 10.0])})
        means = writer.flush(200, alpha=0.25)
    assert means == {"loss/g": 4.0, "r1": 4.0}
    (line,) = lines_of(tmp_path)
    assert line["nimg"] == 200 and line["kimg"] == 0.2
    assert line["loss/g"] == 4.0 and line["r1"] == 4.0
    assert line["alpha"] == 0.25 and line["resolution"] == 8


def test_a_disk_that_refuses_costs_a_tick_and_not_the_run(tmp_path, caplog):
    with open_writer(tmp_path) as writer:
        for nimg in (100, 200, 300):
            blocked = nimg == 200
            if blocked:
                (tmp_path / "metrics.jsonl").rename(tmp_path / "kept")
                (tmp_path / "metrics.jsonl").mkdir()
            writer.defer(nimg, {"x": jnp.float32(nimg)})
            assert writer.flush(nimg) == {"x": nimg}
            if blocked:
                (tmp_path / "metrics.jsonl").rmdir()
                (tmp_path / "kept").rename(tmp_path / "metrics.jsonl")
        (message,) = caplog.messages
        assert "cannot be written" in message and "training goes on" in message
        (tmp_path / "samples").write_text("not a folder")
        picture = np.zeros((4, 4, 3), np.uint8)
        assert writer.write_grid("fakes", 300, picture) is None
    assert [line["x"] for line in lines_of(tmp_path)] == [100, 300]


def test_each_tick_has_only_its_own_steps(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.defer(100, {"x": jnp.float32(1)})
        writer.flush(100)
        writer.defer(200, {"x": jnp.float32(5)})
        assert writer.flush(200) == {"x": 5.0}
    assert [line["x"] for line in lines_of(tmp_path)] == [1.0, 5.0]


def test_deferring_never_moves_anything_off_the_device(tmp_path):
    metrics = {"x": jnp.arange(4.0)}
    with open_writer(tmp_path) as writer, jax.transfer_guard("disallow_explicit"):
        writer.defer(100, metrics)
    with open_writer(tmp_path) as writer, jax.transfer_guard("disallow"):
        writer.defer(100, metrics)
        assert writer.flush(100) == {"x": 1.5}


def test_ticks_are_due_once_per_interval(tmp_path):
    with open_writer(tmp_path, tick_kimg=0.5, restored_nimg=700) as writer:
        assert not writer.due(999) and writer.due(1000)
        writer.flush(1024)
        assert not writer.due(1499) and writer.due(1500)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_metric_that_is_not_finite_stops_with_its_name_place_and_way_back(
    tmp_path, value
):
    good = {"loss/d": jnp.float32(1), "r1": jnp.float32(1)}
    bad = good | {"r1": jnp.array([1.0, value])}
    with open_writer(tmp_path) as writer:
        writer.defer(12_300, good)
        writer.defer(12_400, bad)
        writer.defer(12_500, {name: jnp.float32(np.nan) for name in good})
        with pytest.raises(NonFiniteError) as caught:
            writer.flush(12_500, last_checkpoint=Path("run/checkpoints/nimg_7"))
    message = str(caught.value)
    assert message.startswith("r1 not finite at 12.400 kimg")
    assert "run/checkpoints/nimg_7" in message
    assert lines_of(tmp_path)[-1]["r1"] is None  # written, and strict JSON


def test_continuing_drops_the_lines_after_the_restored_count(tmp_path):
    with open_writer(tmp_path) as writer:
        for nimg in (1000, 2000, 3000):
            writer.write(nimg, {"fid": nimg / 10})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"nimg": 1500, "fi')  # killed in the middle of a line
    with open_writer(tmp_path, restored_nimg=2000) as writer:
        assert [line["nimg"] for line in lines_of(tmp_path)] == [1000, 2000]
        writer.write(3000, {"fid": 1.0})
    assert [line["nimg"] for line in lines_of(tmp_path)] == [1000, 2000, 3000]
    assert lines_of(tmp_path)[-1]["fid"] == 1.0


def test_a_run_without_checkpoint_starts_its_metrics_afresh(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.write(1000, {"fid": 3.0})
    with open_writer(tmp_path):
        pass
    assert lines_of(tmp_path) == []


def test_tensorboard_gets_the_same_numbers(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.defer(100, {"loss/g": jnp.float32(2.5)})
        writer.flush(100)
    (path,) = (tmp_path / "tensorboard").iterdir()
    content = path.read_bytes()
    assert b"loss/g" in content
    assert np.float32(2.5).tobytes() in content


def test_grids_are_written_as_samples_named_by_kimg(tmp_path):
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    with open_writer(tmp_path) as writer:
        path = writer.write_grid("fakes", 12_345, image)
    assert path == tmp_path / "samples" / "fakes_000012.345.png"
    np.testing.assert_array_equal(images.read_image(path, 3), image)


def test_other_processes_fetch_but_write_and_show_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    stream = io.StringIO()
    with open_writer(tmp_path / "run", stream=stream) as writer:
        writer.begin_phase(0, title="8 px", resolution=8)
        writer.defer(100, {"x": jnp.float32(2)})
        assert writer.flush(100) == {"x": 2.0}
        writer.write(100, {"fid": 1.0})
        assert writer.write_grid("fakes", 100, np.zeros((2, 2, 3), np.uint8)) is None
        writer.defer(200, {"x": jnp.float32(np.nan)})
        with pytest.raises(NonFiniteError):
            writer.flush(200)
    assert stream.getvalue() == "" and not (tmp_path / "run").exists()


def test_plain_lines_are_one_per_tick_without_control_codes(tmp_path):
    stream = io.StringIO()
    with open_writer(tmp_path, stream=stream) as writer:
        writer.begin_phase(0, title="32 px, fading in", resolution=32)
        for nimg in (1000, 2000):
            writer.defer(nimg, {"loss/g": jnp.float32(0.5)})
            writer.flush(nimg, alpha=0.42)
    shown = stream.getvalue()
    phase, *ticks = shown.splitlines()
    assert "32 px, fading in" in phase
    assert len(ticks) == 2 and "\x1b" not in shown
    assert ticks[1].startswith("kimg   2.0/400    32px alpha 0.42  images/s ")
    assert ticks[1].endswith("loss/g +0.5")


def test_tick_lines_of_a_run_are_aligned():
    early = Progress(400_000, 12_300, "", 8, None, False, 1530.0, {"g": -1.5, "d": 2})
    late = Progress(400_000, 399_900, "", 1024, 0.5, False, 9.25, {"g": 0.25, "d": 2})
    one, other = tick_line(early), tick_line(late)
    for word in ("images/s", "left", "g ", "d "):
        assert one.index(f"  {word}") == other.index(f"  {word}")


def test_time_left_is_what_remains_at_the_present_rate():
    progress = Progress(400_000, 100_000, rate=100.0)
    assert progress.left == "50m 00s"
    assert Progress(400_000, 100_000, rate=None).left == "?"


def test_the_rate_leaves_out_the_compilation_of_a_phase(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with open_writer(tmp_path) as writer:
        writer.begin_phase(0, title="8 px", resolution=8)
        now[0] = 500.0  # the first step compiles
        writer.defer(100, {})
        now[0] = 510.0
        writer.defer(200, {})
        writer.flush(200)
    assert lines_of(tmp_path)[0]["images_per_second"] == pytest.approx(10.0)


def test_a_terminal_gets_a_display_with_phase_alpha_progress_and_metrics(tmp_path):
    stream = Terminal()
    with open_writer(tmp_path, stream=stream) as writer:
        writer.begin_phase(0, title="32 px, fading in", resolution=32)
        writer.defer(100_000, {"loss/g": jnp.float32(0.5)})
        writer.flush(100_000, alpha=0.42)
        writer.note("a note")
    shown = stream.getvalue()
    for text in ("32 px, fading in", "alpha 0.42", "100.0/400 kimg", "25.0%", "+0.5"):
        assert text in shown
    assert "a note" in shown and "host" in shown
    assert "\x1b[?25h" in shown  # the cursor is given back


def test_a_reader_that_leaves_does_not_stop_training(tmp_path):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with open_writer(tmp_path, stream=Closed()) as writer:
        writer.defer(100, {"x": jnp.float32(1)})
        writer.flush(100)
        writer.note("more")
    assert len(lines_of(tmp_path)) == 1


def test_writing_needs_no_tensorflow():
    code = (
        "import sys, stylegan_jax.training.writer\n"
        "sys.exit(int('tensorflow' in sys.modules or 'torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
