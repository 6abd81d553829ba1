"""Training that takes measures: what fails before it starts, and the best is kept."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.commands import evaluate, train
from stylegan_jax.errors import UserError
from stylegan_jax.features import exported_function

RECIPE = """
import stylegan_jax as sg
def get_config():
    return sg.Config(
        model=sg.ModelConfig(resolution=8, z_dim=8, w_dim=8, channel_max=8,
                             mapping_width=8, mapping_layers=1),
        data=sg.DataConfig(portraits_size=40),
        schedule=sg.ScheduleConfig(total_kimg=0.08, batch_size=4, repeats=5),
        checkpoint=sg.CheckpointConfig(every_kimg=0.04, keep_last=1),
        metrics=sg.MetricsConfig(names="ppl_wend40"),
        # Fast and with little averaging, so that paths become longer.
        optimizer=sg.OptimizerConfig(learning_rate=0.02, ema_kimg=0.02),
        run=sg.RunConfig(grid_columns=2, grid_rows=2),
    )
"""


def colours(images):
    """Means of the colours of a picture's quarters stand in for deep features."""
    count = images.shape[0]  # a symbol: any number
    quarters = images.astype(jnp.float32).reshape(count, 2, 4, 2, 4, 3)
    return quarters.mean(axis=(2, 4)).reshape(count, 12) / 255


@pytest.fixture
def words(tmp_path, monkeypatch) -> list[str]:
    """The command line of the tiny recipe, in `tmp_path / "run"`."""
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    recipe = tmp_path / "tiny.py"
    recipe.write_text(RECIPE)
    return [str(recipe), "--workdir", str(tmp_path / "run")]


@pytest.fixture
def features(tmp_path) -> Path:
    """A feature network in a file."""
    path = tmp_path / "colours.jaxexport"
    exported_function.save(colours, path, resolution=8)
    return path


def test_the_checkpoint_with_the_best_score_is_kept_and_can_be_used(
    words, features, tmp_path, capsys, monkeypatch
):
    train.main([*words, "--metrics.features", str(features)])
    output = capsys.readouterr().out
    run = tmp_path / "run"
    records = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    name = "ppl_wend40[colours]"
    lengths = {
        record["nimg"]: record[f"metrics/{name}"]
        for record in records
        if f"metrics/{name}" in record
    }
    assert [*lengths] == [40, 80]
    best = min(lengths, key=lengths.__getitem__)
    assert f"{name} {lengths[best]:.4g}" in output

    # It outlives what follows, also when nothing is measured any more.
    train.main([*words, "--metrics.names", "", "--schedule.total-kimg", "0.16"])
    capsys.readouterr()
    names = {path.name for path in (run / "checkpoints").glob("nimg_*")}
    assert names == {f"nimg_{best:09d}", "nimg_000000160"}

    # It is the one whose score anybody gets who measures it later.
    path = run / "checkpoints" / "best"
    options = ["--features", str(features), "--metrics", "ppl_wend40"]
    evaluate.main([str(path), *options])
    _, score = capsys.readouterr().out.split()
    np.testing.assert_allclose(float(score), lengths[best], atol=1e-4)
    # And it is compared with the data of its run.
    sizes = []
    monkeypatch.setattr(
        evaluate.measures,
        "score",
        lambda task: sizes.append(len(task.source)) or {},
    )
    options[-1] = "fid40"
    evaluate.main([str(path), *options])
    assert sizes == [40]


MISTAKES = [
    (["--metrics.names", "fdi5k"], "no measure 'fdi5k'; did you mean"),
    (["--metrics.names", "fid5"], "fid5 would take 5 images; .* or fid5k"),
    (
        ["--metrics.names", "fid5k", "--metrics.inception", "{tmp}/x.pth"],
        "no such file",
    ),
    (
        ["--metrics.vgg16", "{tmp}/x.pth", "--metrics.lpips", "{tmp}/x.pth"],
        "no such file",
    ),
    (["--metrics.features", "{tmp}/x.jaxexport"], "no such file"),
    (
        ["--metrics.features", "{features}", "--metrics.best", "ppl_wend40"],
        r"those are ppl_wend40\[colours\]",
    ),
    (["--metrics.features", "{features}", "--metrics.names", "is1k"], "has none"),
]


@pytest.mark.parametrize(("more", "message"), MISTAKES)
def test_what_cannot_be_measured_is_told_before_training(
    words, features, tmp_path, more, message
):
    names = {"tmp": tmp_path, "features": features}
    with pytest.raises(UserError, match=message):
        train.main([*words, *(word.format(**names) for word in more)])
    assert not (tmp_path / "run").exists()
