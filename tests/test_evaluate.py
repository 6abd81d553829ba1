import functools
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax import evaluate
from stylegan_jax.common import files, images
from stylegan_jax.common.errors import UserError
from stylegan_jax.data.config import DataConfig
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.interop import exported
from stylegan_jax.metrics import measures
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator
from stylegan_jax.training.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.training.config import Config
from stylegan_jax.training.state import OptimizerConfig, init_state

MODEL = ModelConfig(
    resolution=8,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=1,
    channel_base=64,
    channel_max=8,
)
PORTRAITS = ["--data.name", "portraits", "--data.portraits-size", "60"]


def small_network(name):
    """Means of the colours of a picture's quarters stand in for deep features."""

    def function(params, images):
        images = images.astype(jnp.float32) / 255
        cells = images.reshape(len(images), 2, 4, 2, 4, 3).mean(axis=(2, 4))
        return params["scale"] * cells.reshape(len(images), -1)

    return FrozenNetwork(name, 12, {"scale": jnp.float32(1)}, function)


@pytest.fixture(autouse=True)
def _small_features(monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measures.inception, "load", lambda path: path)
    monkeypatch.setattr(
        measures.inception, "extractor", lambda *_: small_network("inception")
    )
    monkeypatch.setattr(measures.vgg16, "load", lambda path, dense: path)
    monkeypatch.setattr(measures.vgg16, "fc2_extractor", lambda _: small_network("vgg"))
    monkeypatch.setattr(measures.lpips, "load", lambda **_: 3.0)
    monkeypatch.setattr(
        measures.lpips,
        "distance",
        lambda factor, a, b: factor * jnp.sum((a - b) ** 2, axis=(1, 2, 3)),
    )


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "x.safetensors"
    exported.save(path, init_generator(jax.random.key(0), MODEL))
    return path


def zipped(folder):
    """A data set without labels."""
    path = folder / "grey.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for level in (10, 20, 30):
            image = np.full((8, 8, 3), level, np.uint8)
            archive.writestr(f"{level}.png", images.encode_png(image))
    return path


def scores_in(text):
    lines = [line.split() for line in text.splitlines()]
    return {words[0]: float(words[1]) for words in lines if len(words) == 2}


def test_every_measure_gives_its_scores(network, capsys):
    names = "fid0.04k,kid0.04k,pr0.04k,is0.04k,ppl_wend0.02k,ppl_zfull0.02k"
    evaluate.main([str(network), "--metrics", names, *PORTRAITS])
    scores = scores_in(capsys.readouterr().out)
    assert set(scores) == {
        "fid0.04k",
        "kid0.04k",
        "pr0.04k_precision",
        "pr0.04k_recall",
        "is0.04k_mean",
        "is0.04k_std",
        "ppl_wend0.02k",
        "ppl_zfull0.02k",
    }
    assert all(np.isfinite(list(scores.values())))
    assert scores["fid0.04k"] > 0.01  # an untrained network
    assert 0 <= scores["pr0.04k_precision"] <= 1
    assert scores["ppl_wend0.02k"] > 0


def test_the_distance_is_between_the_data_and_samples(network, monkeypatch, capsys):
    reals = measures.collecting.drawing.features_of_reals
    source = evaluate.open_source(DataConfig(portraits_size=60))

    def moved_reals(generator, network, count, *, seed, start, **options):
        return (3 + chunk for chunk in reals(source, network, count, 8, **options))

    monkeypatch.setattr(measures.collecting.drawing, "features_of_fakes", moved_reals)
    evaluate.main([str(network), "--metrics", "fid0.04k", *PORTRAITS])
    # The same shape, 3 away along each of 12 axes.
    score = scores_in(capsys.readouterr().out)["fid0.04k"]
    assert score == pytest.approx(12 * 9, rel=1e-4)


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "run"
    data = DataConfig(portraits_size=50, mirror=True)
    files.start_run(run, Config(model=MODEL, data=data))
    with Checkpoints(run, CheckpointConfig(asynchronous=False)) as checkpoints:
        state = init_state(jax.random.key(0), MODEL, OptimizerConfig())
        checkpoints.save(8, state, {"resolution": 8, "alpha": None})
    return run


def test_a_run_in_a_bucket_is_read_from_a_copy_that_remembers(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(measures, "take", lambda *_: {"kid0.03k": 1.5})
    # Without --data: the run's own is the default here too.
    for network in (f"file://{run}", f"file://{run}/checkpoints/nimg_000000008"):
        evaluate.main([network, "--metrics", "kid0.03k"])
        captured = capsys.readouterr()
        assert scores_in(captured.out) == {"kid0.03k": 1.5}
    assert "--again" in captured.err
    (copy,) = (tmp_path / "cache" / "runs").glob("*/evaluations.jsonl")
    (line,) = copy.read_text().splitlines()
    assert json.loads(line)["nimg"] == 8
    assert json.loads(line)["settings"]["data"]["portraits_size"] == 50


def test_a_run_is_compared_with_its_own_data_and_remembers(run, monkeypatch, capsys):
    evaluate.main([str(run), "--metrics", "kid0.03k"])
    scores = scores_in(capsys.readouterr().out)
    (line,) = (run / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["metric"] == "kid0.03k"
    assert json.loads(line)["kid0.03k"] == pytest.approx(scores["kid0.03k"], abs=1e-4)
    assert json.loads(line)["nimg"] == 8

    take, taken = measures.take, []
    monkeypatch.setattr(
        measures, "take", lambda *args: taken.append(args[2].name) or take(*args)
    )
    with open(run / "evaluations.jsonl", "a") as file:
        file.write('{"metric": "kid0.03k", "kid')  # cut off by a crash
        file.write("\n")
    evaluate.main([str(run), "--metrics", "kid0.03k", "--data.cache-gb", "1"])
    captured = capsys.readouterr()
    assert scores_in(captured.out) == scores and "--again" in captured.err
    # The checkpoint is the run's newest.
    checkpoint = run / "checkpoints" / "nimg_000000008"
    evaluate.main([str(checkpoint), "--metrics", "kid0.03k"])
    assert scores_in(capsys.readouterr().out) == scores
    assert not taken
    for others in (["--again"], ["--seed", "1"], ["--data.portraits-size", "40"]):
        evaluate.main([str(run), "--metrics", "kid0.03k", *others])
    assert taken == ["kid0.03k"] * 3


def test_scores_on_other_features_are_recorded_under_their_name(
    run, monkeypatch, tmp_path, capsys
):
    path = tmp_path / "mine.jaxexport"
    path.write_bytes(b"a network")
    monkeypatch.setattr(measures.own, "load", {path: small_network("mine")}.get)
    evaluate.main([str(run), "--metrics", "fid0.03k", "--features", str(path)])
    assert scores_in(capsys.readouterr().out).keys() == {"fd0.03k[mine]"}
    record = json.loads((run / "evaluations.jsonl").read_text())
    assert record["metric"] == "fd0.03k[mine]" and "fid0.03k" not in record


def test_separability_trains_its_classifiers_once(
    network, tmp_path, monkeypatch, capsys
):
    train = functools.partial(measures.classifiers_for, steps=5, cached=False)
    monkeypatch.setattr(measures, "classifiers_for", train)
    file = tmp_path / "people.safetensors"
    words = [str(network), "--metrics", "ls0.06k", "--classifiers", str(file)]
    evaluate.main([*words, *PORTRAITS])
    scores = scores_in(capsys.readouterr().out)
    names = ("eyeglasses", "smile", "pose", "age", "gender")
    for name in names:
        assert 0 <= scores[f"ls0.06k_accuracy_{name}"] <= 1
    assert 1 <= scores["ls0.06k_z"] <= 32 and 1 <= scores["ls0.06k_w"] <= 32
    # The file takes the place of labels, and gives the same scores.
    data = ["--data.name", "zip", "--data.path", str(zipped(tmp_path))]
    evaluate.main([*words, *data])
    assert scores_in(capsys.readouterr().out) == scores
    with pytest.raises(UserError, match="without labels, and attributes are labels"):
        evaluate.main([*words[:3], *data])


def test_classifiers_of_another_file_are_another_measure(run, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(measures, "take", lambda *_: taken.append(1) or {"ls_z": 1.0})
    file = tmp_path / "people.safetensors"
    words = [str(run), "--metrics", "ls0.06k"]
    with_file = [*words, "--classifiers", str(file)]
    for each in (words, words, with_file):  # the third has a file to write
        evaluate.main(each)
    assert len(taken) == 2
    file.write_bytes(b"classifiers")
    for each in (with_file, with_file, words):
        evaluate.main(each)
    assert len(taken) == 3


def test_mistakes_are_told_in_one_line(network, tmp_path):
    with pytest.raises(UserError, match="no measure 'fid50'; did you mean fid50k"):
        evaluate.main([str(network), "--metrics", "fid50"])
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(UserError, match="photos"):
        evaluate.main(
            [str(network), "--data.name", "folder", "--data.path", str(folder)]
        )
