import json
import math
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import convert, inversion, metrics, report, sample, train_step

# In an interpreter of its own, because here everything is imported already.
_WITHOUT = """
import sys

MISSING = {"tyro", "tensorflow_datasets", "tensorboardX", "PIL"}


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            raise ImportError(f"{name} is not installed")


sys.meta_path.insert(0, Blocked())
from benchmarks import sample, train_step
from stylegan_jax.networks.config import ModelConfig

phase = train_step.make_phase(8, 4)
train_step.lower_step(ModelConfig(resolution=8, channel_max=4), phase)
loaded = {name.split(".")[0] for name in sys.modules}
print("loaded:", sorted(loaded & (MISSING | {"orbax", "tensorflow"})))
"""


def test_the_benchmarks_need_only_jax_flax_and_optax():
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout


@pytest.mark.parametrize(
    ("main", "more"), [(sample.main, []), (train_step.main, ["--repeats", "2"])]
)
def test_a_run_fills_the_table_and_the_file(main, more, tmp_path, capsys):
    path = tmp_path / "result.json"
    options = "--resolutions 8 --precisions float32 --channel-max 4 --batch-size 4"
    options += f" --steps 1 --json {path}"
    main([*options.split(), *more])

    result = json.loads(path.read_text())
    (row,) = result["rows"]
    ratio = row["compiled_gflop"] / row["analytic_gflop"]
    assert row["ratio"] == pytest.approx(ratio)
    # What does not depend on the speed of this machine: rates are consistent.
    assert row["gflops"] == pytest.approx(
        row["images_per_second"] * row["lowered_gflop"]
    )
    assert row["share"] == pytest.approx(row["gflops"] / row["matmul_gflops"])
    assert row["temp_mib"] > 0
    assert f"{row['ratio']:.3f}" in capsys.readouterr().out
    assert result["machine"]["platform"] == "cpu"


def test_minibatches_are_the_official_ones_for_one_gpu():
    sizes = [report.OFFICIAL_BATCH_SIZE.at(2**k) for k in range(2, 11)]
    assert sizes == [128, 128, 128, 64, 32, 16, 8, 4, 4]


def test_every_precision_and_resolution_gets_its_row():
    args = report.make_parser("").parse_args(["--resolutions", "8", "64"])
    rows = list(report.settings(args))
    assert [(row.resolution, row.precision) for row in rows] == [
        (size, name) for size in (8, 64) for name in ("float32", "default", "bfloat16")
    ]
    assert {row.model.resolution for row in rows} == {64}
    assert [row.model.dtype == "bfloat16" for row in rows] == 2 * [False, False, True]
    assert math.prod(row.batch_size for row in rows) == (128 * 32) ** 3


@pytest.mark.slow
def test_steps_of_converting_are_measured_in_processes_of_their_own(
    tmp_path, capsys, monkeypatch
):
    path, steps = tmp_path / "result.json", convert.steps
    names = ["write .pkl", "convert to float32", "convert to bfloat16"]

    def some(folder, model):
        return {name: steps(folder, model)[name] for name in names}

    monkeypatch.setattr(convert, "steps", some)  # here, not in the processes
    convert.main(["--resolution", "8", "--channel-max", "4", "--json", str(path)])
    rows = {row["step"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == names
    for row in rows.values():
        assert row["seconds"] > 0 and row["start_seconds"] > 0
        assert 50 < row["peak_mib"] < 4000
    # The pickle has two generators and a discriminator, the others one generator.
    sizes = [rows[name]["file_mb"] for name in names]
    assert sizes[0] > 1.8 * sizes[1] and sizes[1] > 1.8 * sizes[2]
    assert "convert to bfloat16" in capsys.readouterr().out


@pytest.mark.slow
def test_metrics_are_measured_step_by_step(tmp_path, capsys):
    path = tmp_path / "result.json"
    options = f"--count 300 --size 8 --some 50 --json {path}"
    metrics.main(options.split())
    rows = {row["step"]: row for row in json.loads(path.read_text())["rows"]}
    counts = [row["count"] for row in rows.values()]
    assert counts == [300, 300, 300, 300, 50]
    for row in rows.values():
        assert row["seconds"] > 0 and 20 < row["peak_mib"] < 4000
    assert "Frechet distance" in capsys.readouterr().out


def test_features_are_read_as_they_were_stored(tmp_path):
    path = tmp_path / "real.bin"
    metrics.make_features(path, 600, 5, seed=0)
    batches = list(metrics.read_batches(path, 5))
    assert [batch.shape for batch in batches] == [(256, 5), (256, 5), (88, 5)]
    values = np.fromfile(path, np.float32)
    np.testing.assert_array_equal(np.concatenate(batches).ravel(), values)


@pytest.mark.thorough
def test_tuning_and_the_encoder_are_measured_too(tmp_path):
    path = tmp_path / "result.json"
    options = f"--resolutions 8 --images 1 --channel-max 4 --json {path}"
    options += " --stages tuning encoder --iterations 2 --rounds 1"
    inversion.main(options.split())
    rows = json.loads(path.read_text())
    assert [row["stage"] for row in rows] == ["tuning", "encoder"]
    assert all(row["iterations_per_second"] > 0 for row in rows)


def test_inversion_is_measured_beside_the_generator_alone(tmp_path, capsys):
    path = tmp_path / "result.json"
    options = f"--resolutions 8 --images 2 --channel-max 4 --json {path}"
    inversion.main([*options.split(), "--iterations", "2", "--rounds", "1"])
    rows = json.loads(path.read_text())
    assert [row["stage"] for row in rows] == ["w", "noise"]
    for row in rows:
        rate = row["iterations_per_second"]
        assert row["image_iterations_per_second"] == pytest.approx(2 * rate)
        assert row["ratio"] == pytest.approx(1 / rate / row["seconds_alone"])
        assert row["temp_mib"] > 0
    assert "image-iterations/s" in capsys.readouterr().out
