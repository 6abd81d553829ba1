import json

import jax
import numpy as np
import pytest

from stylegan_jax.commands import coverage, sample, train
from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs import run_directory
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.training.config import Config
from stylegan_jax.training.state import OptimizerConfig, init_state

RING = [
    "gan_ring",
    *("--schedule.total-kimg", "1.6", "--schedule.repeats", "10"),
    *("--schedule.batch-size", "16", "--data.points-size", "500"),
    *("--checkpoint.every-kimg", "0.48", "--checkpoint.keep-every-kimg", "0.48"),
    *("--run.tick-kimg", "0.8", "--run.grid-ticks", "1"),
]


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "ring"
    train.main([*RING, "--workdir", str(workdir)])
    return workdir


@pytest.mark.thorough
def test_training_on_points_draws_their_density(ring):
    pictures = sorted(path.name for path in (ring / "samples").iterdir())
    assert {"fakes_000000.800.png", "fakes_000001.600.png"} < set(pictures)
    assert pictures[-1] == "reals_000000.000.png"
    for name in pictures:
        picture = images.read_image(ring / "samples" / name)
        assert picture.std() > 1


def test_coverage_of_a_run_is_measured_at_its_checkpoints_and_drawn(ring, capsys):
    coverage.main([str(ring), "--samples", "400", "--panels", "3"])
    records = json.loads((ring / "coverage.json").read_text())
    assert [record["nimg"] for record in records] == [0, 960, 1600, None]
    assert all(record["modes"] == 8 for record in records)
    data = records[-1]
    assert data["modes_found"] == 8 and data["good_share"] > 0.95
    assert data["reverse_kl"] < 0.05 < 1 + records[0]["reverse_kl"]
    shown = capsys.readouterr().out
    # 16 images a step: 960 images are 60 steps.
    assert "step 0 " in shown and "step 60 " in shown and "step 100 " in shown
    panels = images.read_image(ring / "coverage.png")
    assert panels.shape[1] > 3 * panels.shape[0]


def test_samples_of_a_checkpoint_are_those_of_the_start_only_before_training(ring):
    source = coverage.open_data(ring, None)
    start = coverage.draw(coverage.points.untrained(ring)[0], source, 40, 0)
    trained = coverage.draw(coverage.loading.load(ring), source, 40, 0)
    assert start.shape == trained.shape == (40, 2)
    assert np.abs(start - trained).max() > 0.01


def test_what_cannot_be_measured_is_refused(ring, tmp_path):
    with pytest.raises(UserError, match="--samples 5 must be at least 36"):
        coverage.main([str(ring), "--samples", "5"])
    with pytest.raises(UserError, match=r"has no config\.json"):
        coverage.main([str(tmp_path)])
    stored = json.loads((ring / "config.json").read_text())
    stored["data"] |= {"name": "portraits", "num_channels": 3}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match="give --labels"):
        coverage.main([str(tmp_path)])


def test_points_are_not_sampled_as_pictures(ring, tmp_path):
    with pytest.raises(UserError, match="draws points, not pictures"):
        sample.main([str(ring), "--outdir", str(tmp_path)])


@pytest.mark.thorough
def test_a_run_that_grows_is_measured_at_its_final_size(tmp_path, monkeypatch, capsys):
    model = ModelConfig(
        resolution=16, z_dim=6, w_dim=6, mapping_layers=1, channel_base=64
    )
    data = DataConfig(portraits_size=40, labels="eyeglasses")
    run_directory.start_run(tmp_path, Config(model=model, data=data))
    with Checkpoints(tmp_path, CheckpointConfig(asynchronous=False)) as checkpoints:
        state = init_state(jax.random.key(0), model, OptimizerConfig())
        checkpoints.save(500, state, {"resolution": 8, "alpha": None})
    train_briefly = coverage.train_classifier
    monkeypatch.setattr(
        coverage,
        "train_classifier",
        lambda images, classes: train_briefly(images, classes, steps=3, quiet=True),
    )
    coverage.main([str(tmp_path), "--samples", "40"])
    records = json.loads((tmp_path / "coverage.json").read_text())
    assert [record["nimg"] for record in records] == [0, 500, None]
    assert "0.5 kimg" in capsys.readouterr().out
