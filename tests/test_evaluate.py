import dataclasses
import functools
import json
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.commands import evaluate
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.io import images
from stylegan_jax.metrics import measures, sampling, task
from tests import tiny
from tests.metrics.measuring import colours

PORTRAITS = ["--data.name", "portraits", "--data.portraits-size", "60"]


@pytest.fixture(autouse=True)
def _small_features(monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measures.inception, "load", lambda path: path)
    monkeypatch.setattr(
        measures.inception, "extractor", lambda *_: colours(name="inception")
    )
    monkeypatch.setattr(measures.vgg16, "load", lambda path, dense: path)
    monkeypatch.setattr(measures.vgg16, "fc2_extractor", lambda _: colours(name="vgg"))
    monkeypatch.setattr(measures.lpips, "load", lambda **_: 3.0)
    monkeypatch.setattr(
        measures.lpips,
        "distance",
        lambda factor, a, b: factor * jnp.sum((a - b) ** 2, axis=(1, 2, 3)),
    )


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "x.safetensors"
    exported.save(path, tiny.generator(tiny.MODEL_8))
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


@pytest.mark.thorough
def test_every_measure_gives_its_scores(network, capsys):
    names = "fid40,kid40,pr40,is40,ppl_wend20,ppl_zfull20"
    evaluate.main([str(network), "--metrics", names, *PORTRAITS])
    scores = scores_in(capsys.readouterr().out)
    assert set(scores) == {
        "fid40",
        "kid40",
        "pr40_precision",
        "pr40_recall",
        "is40_mean",
        "is40_std",
        "ppl_wend20",
        "ppl_zfull20",
    }
    assert all(np.isfinite(list(scores.values())))
    assert scores["fid40"] > 0.01  # an untrained network
    assert 0 <= scores["pr40_precision"] <= 1
    assert scores["ppl_wend20"] > 0


def test_the_distance_is_between_the_data_and_samples(network, monkeypatch, capsys):
    source = open_source(DataConfig(portraits_size=60))

    def moved(made, network, count, *, labels, **options):
        images = sampling.reals(source, network, count, 8, **options)
        away = lambda params, levels: 3 + images.compute(params, levels)  # noqa: E731
        return dataclasses.replace(images, compute=away, lasting=False)

    monkeypatch.setattr(sampling, "fakes", moved)
    evaluate.main([str(network), "--metrics", "fid40", *PORTRAITS])
    # The same shape, 3 away along each of 12 axes.
    score = scores_in(capsys.readouterr().out)["fid40"]
    assert score == pytest.approx(12 * 9, rel=1e-4)


@pytest.fixture
def run(tmp_path):
    data = DataConfig(portraits_size=50, mirror=True)
    saved = {8: {"resolution": 8, "alpha": None}}
    return tiny.start_run(tmp_path / "run", tiny.MODEL_8, saved, data=data)


def test_a_run_in_a_bucket_is_read_from_a_copy_that_remembers(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(measures, "score", lambda task: {"kid30": 1.5})
    # Without --data: the run's own is the default here too.
    for network in (f"file://{run}", f"file://{run}/checkpoints/nimg_000000008"):
        evaluate.main([network, "--metrics", "kid30"])
        captured = capsys.readouterr()
        assert scores_in(captured.out) == {"kid30": 1.5}
    assert "--again" in captured.err
    (copy,) = (tmp_path / "cache" / "runs").glob("*/evaluations.jsonl")
    (line,) = copy.read_text().splitlines()
    assert json.loads(line)["nimg"] == 8
    assert json.loads(line)["settings"]["data"]["portraits_size"] == 50


@pytest.mark.thorough
def test_a_run_is_compared_with_its_own_data_and_remembers(run, monkeypatch, capsys):
    evaluate.main([str(run), "--metrics", "kid30"])
    scores = scores_in(capsys.readouterr().out)
    (line,) = (run / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["metric"] == "kid30"
    assert json.loads(line)["kid30"] == pytest.approx(scores["kid30"], abs=1e-4)
    assert json.loads(line)["nimg"] == 8

    score, taken = measures.score, []
    monkeypatch.setattr(
        measures, "score", lambda task: taken.append(task.name) or score(task)
    )
    with open(run / "evaluations.jsonl", "a") as file:
        file.write('{"metric": "kid30", "kid')  # cut off by a crash
        file.write("\n")
    evaluate.main([str(run), "--metrics", "kid30", "--data.cache-gb", "1"])
    captured = capsys.readouterr()
    assert scores_in(captured.out) == scores and "--again" in captured.err
    # The checkpoint is the run's newest.
    checkpoint = run / "checkpoints" / "nimg_000000008"
    evaluate.main([str(checkpoint), "--metrics", "kid30"])
    assert scores_in(capsys.readouterr().out) == scores
    assert not taken
    for others in (["--again"], ["--seed", "1"], ["--data.portraits-size", "40"]):
        evaluate.main([str(run), "--metrics", "kid30", *others])
    assert taken == ["kid30"] * 3


def test_scores_on_other_features_are_recorded_under_their_name(
    run, monkeypatch, tmp_path, capsys
):
    path = tmp_path / "mine.jaxexport"
    path.write_bytes(b"a network")
    mine = colours(name="mine")
    monkeypatch.setattr(task.own, "load", {path: mine}.get)
    evaluate.main([str(run), "--metrics", "fid30", "--features", str(path)])
    assert scores_in(capsys.readouterr().out).keys() == {"fd30[mine]"}
    record = json.loads((run / "evaluations.jsonl").read_text())
    assert record["metric"] == "fd30[mine]" and "fid30" not in record


@pytest.mark.thorough
def test_separability_trains_its_classifiers_once(
    network, tmp_path, monkeypatch, capsys
):
    train = functools.partial(measures.classifiers_for, steps=5, cached=False)
    monkeypatch.setattr(measures, "classifiers_for", train)
    file = tmp_path / "people.safetensors"
    words = [str(network), "--metrics", "ls60", "--classifiers", str(file)]
    evaluate.main([*words, *PORTRAITS])
    scores = scores_in(capsys.readouterr().out)
    names = ("eyeglasses", "smile", "pose", "age", "gender")
    for name in names:
        assert 0 <= scores[f"ls60_accuracy_{name}"] <= 1
    assert 1 <= scores["ls60_z"] <= 32 and 1 <= scores["ls60_w"] <= 32
    # The file takes the place of labels, and gives the same scores.
    data = ["--data.name", "zip", "--data.path", str(zipped(tmp_path))]
    evaluate.main([*words, *data])
    assert scores_in(capsys.readouterr().out) == scores
    with pytest.raises(UserError, match="without labels, and attributes are labels"):
        evaluate.main([*words[:3], *data])


def test_classifiers_of_another_file_are_another_measure(run, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(measures, "score", lambda _: taken.append(1) or {"ls_z": 1.0})
    file = tmp_path / "people.safetensors"
    words = [str(run), "--metrics", "ls60"]
    with_file = [*words, "--classifiers", str(file)]
    for each in (words, words, with_file):  # the third has a file to write
        evaluate.main(each)
    assert len(taken) == 2
    file.write_bytes(b"classifiers")
    for each in (with_file, with_file, words):
        evaluate.main(each)
    assert len(taken) == 3


@pytest.mark.parametrize("first", [True, False])
def test_a_run_is_compared_with_its_own_data_wherever_flags_stand(run, capsys, first):
    words = ["--metrics", "kid", "--batch-size", "16"]
    evaluate.main([*words, str(run)] if first else [str(run), *words])
    captured = capsys.readouterr()
    assert scores_in(captured.out).keys() == {"kid50"}
    assert "50 samples, 50 of 50 images of portraits" in captured.err
    record = json.loads((run / "evaluations.jsonl").read_text())
    assert record["settings"]["data"]["portraits_size"] == 50
    of = record["of"]
    assert (of["data"], of["images"], of["reals"]) == ("portraits", 50, 50)
    assert of["samples"] == 50 and "drawn by" in of["fingerprint"]


def test_data_that_changed_is_measured_anew(run, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        images.write_png(folder / f"{i}.png", np.full((8, 8, 3), 20 * i, np.uint8))
    words = [str(run), "--metrics", "fid", "--data.path", str(folder)]
    evaluate.main(words)
    first = capsys.readouterr()
    assert "12 of 12 images of folder" in first.err
    assert "too large by a bias" in first.err
    evaluate.main(words)
    assert "--again" in capsys.readouterr().err
    images.write_png(folder / "3.png", np.full((8, 8, 3), 255, np.uint8))
    evaluate.main(words)
    second = capsys.readouterr()
    assert "--again" not in second.err
    assert scores_in(first.out) != scores_in(second.out)


def test_more_samples_than_images_take_each_image_once(network, tmp_path, capsys):
    words = [str(network), "--metrics", "fid40", "--no-cache"]
    evaluate.main([*words, "--data.name", "portraits", "--data.portraits-size", "15"])
    assert "40 samples, 15 of 15 images of portraits" in capsys.readouterr().err
    data = ["--data.path", str(zipped(tmp_path))]
    with pytest.raises(UserError, match=r"3 images, .* once; pr means nothing"):
        evaluate.main([str(network), "--metrics", "pr", *data])


def test_data_that_is_not_known_is_not_guessed(network, capsys):
    with pytest.raises(UserError, match="not known what this was trained on; give"):
        evaluate.main(["--metrics", "fid40", str(network)])
    # Path lengths look at no data.
    evaluate.main(["--metrics", "ppl_wend20", str(network)])
    captured = capsys.readouterr()
    assert scores_in(captured.out).keys() == {"ppl_wend20"}
    assert "portraits" not in captured.err


def test_folders_are_compared_without_a_network(tmp_path, capsys):
    random = np.random.RandomState(0)
    for name, count in (("made", 14), ("photos", 20)):
        (tmp_path / name).mkdir()
        for i in range(count):
            picture = random.randint(0, 255, (8, 8, 3)).astype(np.uint8)
            images.write_png(tmp_path / name / f"{i}.png", picture)
    made, photos = (str(tmp_path / name) for name in ("made", "photos"))
    evaluate.main(["--images", made, "--metrics", "fid,kid12", "--data.path", photos])
    captured = capsys.readouterr()
    assert scores_in(captured.out).keys() == {"fid20", "kid12"}
    assert "14 samples, 20 of 20 images of folder" in captured.err
    assert "12 samples, 12 of 20 images" in captured.err
    evaluate.main(["--images", made, "--data.path", made])
    assert abs(scores_in(capsys.readouterr().out)["fid14"]) < 1e-6
    for message, words in [
        ("give a network", ["--data.path", photos]),
        ("give a network", ["portraits", "--images", made, "--data.path", photos]),
        ("is a measure of networks", ["--images", made, "--metrics", "ppl_wend"]),
        ("--data.path FOLDER", ["--images", made]),
    ]:
        with pytest.raises(UserError, match=message):
            evaluate.main(words)


def test_mistakes_are_told_in_one_line(network, tmp_path):
    with pytest.raises(UserError, match="no measure 'fit50k'; did you mean fid50k"):
        evaluate.main([str(network), "--metrics", "fit50k"])
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(UserError, match="photos"):
        evaluate.main(
            [str(network), "--data.name", "folder", "--data.path", str(folder)]
        )
