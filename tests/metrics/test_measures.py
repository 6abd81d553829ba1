import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import measures, sampling, store, streaming, task
from stylegan_jax.metrics.kernel import draw_subsets
from stylegan_jax.metrics.names import KINDS, Measure
from stylegan_jax.metrics.task import MeasureOptions
from tests.metrics import measuring
from tests.metrics.measuring import (
    ALIKE,
    COUNT,
    Unreadable,
    colours,
    generator,
    score,
)

FID, KID, PPL = ALIKE[0], ALIKE[1], ALIKE[3]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Chunks of 16 samples, saved as soon as they are there."""
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(streaming, "CHUNK", 16)
    monkeypatch.setattr(store, "EVERY_SECONDS", 0.0)
    return tmp_path / "cache" / "measures"


@pytest.fixture(scope="module")
def expected():
    """Scores on one device in one process, nothing cached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "CHUNK", 16)  # this fixture comes before `folder`
        return score(mesh=parallel.make_mesh(1), batch_size=64, cache=False)


@pytest.mark.thorough
def test_scores_do_not_depend_on_devices_or_batches(expected):
    found = score(mesh=parallel.make_mesh(4), batch_size=4, cache=False)
    assert found.keys() == {
        "fd40[colours]",
        "kd40[colours]",
        "pr40[colours]_precision",
        "pr40[colours]_recall",
        "ppl_wend40[colours]",
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert all(value > 0 for name, value in expected.items() if "pr" not in name)


def test_scores_are_those_of_features_computed_apart(expected):
    options = {"batch_size": 8, "quiet": True}
    fake = sampling.fakes(generator(), colours(), COUNT, **options)
    real = sampling.reals(Portraits(30), colours(), COUNT, 8, mirror=True, **options)
    real, fake = (
        np.concatenate([*x.chunks(0)]).astype(np.float64) for x in (real, fake)
    )
    assert (len(real), len(fake)) == (30, COUNT)
    between = (real.mean(0) - fake.mean(0)) ** 2
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = np.real(np.sqrt(np.linalg.eigvals(a @ b).astype(complex))).sum()
    distance = between.sum() + np.trace(a) + np.trace(b) - 2 * root
    assert expected["fd40[colours]"] == pytest.approx(distance, rel=1e-6)
    kernel = lambda x, y: (x @ y.T / 12 + 1) ** 3  # noqa: E731
    # Subsets have as many samples as there are images, 30 of 40.
    _, chosen = draw_subsets(30, COUNT, subsets=100, subset_size=30, seed=2020)
    inner = lambda x: (kernel(x, x).sum() - np.trace(kernel(x, x))) / (30 * 29)  # noqa: E731
    mmds = [
        inner(real) + inner(some) - 2 * kernel(real, some).mean()
        for some in (fake[indices] for indices in chosen)
    ]
    assert expected["kd40[colours]"] == pytest.approx(np.mean(mmds), rel=1e-6)


@pytest.mark.thorough
def test_path_length_on_features_is_their_squared_distance(expected):
    # The same features of twice the size have four times the squared distances.
    doubled = score([PPL], features=colours(2), cache=False)
    name = "ppl_wend40[colours]"
    assert doubled[name] == pytest.approx(4 * expected[name], rel=1e-5)


# --- The cache -----------------------------------------------------------------------


def test_what_was_found_of_the_data_is_kept(expected, folder):
    assert score([FID, KID]).items() <= expected.items()
    assert len([*folder.iterdir()]) == 2  # nothing of samples
    assert score([FID, KID], Unreadable(30)).items() <= expected.items()
    for changed in (
        {"features": colours(2)},
        {"mirror": False},
        {"source": Unreadable(30, 1)},
        {"source": Unreadable(29)},
        {"seed": 1},
        {"cache": False},
        {"kinds": [Measure("fid", 29)]},
    ):
        with pytest.raises(AssertionError, match="an image was read"):
            score(**{"kinds": [FID], "source": Unreadable(30)} | changed)


def test_features_that_were_kept_serve_statistics_and_damaged_files_are_not_used(
    expected, folder, caplog
):
    score([KID])
    assert score([FID], Unreadable(30)).items() <= expected.items()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    assert score([FID]).items() <= expected.items()
    assert "is damaged" in caplog.text
    caplog.clear()
    assert score([FID], Unreadable(30)).items() <= expected.items()
    assert not caplog.text


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("kind", "savings", "starts"),
    [
        (FID, 1, [16, 0]),
        # Statistics of all of the data are written after those of a part.
        pytest.param(FID, 4, [32], marks=pytest.mark.thorough),
        (KID, 3, [16]),
        pytest.param(PPL, 2, [32], marks=pytest.mark.thorough),
    ],
)
def test_a_measure_that_was_killed_continues_bit_for_bit(
    expected, monkeypatch, folder, kind, savings, starts
):
    save, chunks, left, begun = store.ResultFile.save, streaming.chunks, [savings], []

    def save_and_die(self, arrays, **options):
        save(self, arrays, **options)
        left[0] -= 1
        if not left[0]:
            raise Killed

    def noted(*args, start=0, **options):
        begun.append(start)
        return chunks(*args, start=start, **options)

    monkeypatch.setattr(store.ResultFile, "save", save_and_die)
    with pytest.raises(Killed):
        score([kind], mesh=parallel.make_mesh(1))
    monkeypatch.setattr(store.ResultFile, "save", save)
    monkeypatch.setattr(streaming, "chunks", noted)
    # On other devices.
    assert score([kind], mesh=parallel.make_mesh(2)).items() <= expected.items()
    assert begun == starts
    assert len([*folder.iterdir()]) == (kind is not PPL)


@pytest.mark.thorough
def test_another_network_or_other_features_do_not_continue(monkeypatch, expected):
    monkeypatch.setattr(store.Store, "finish", lambda self: None)
    score([PPL])
    made = generator()
    moved = jax.tree.map(lambda x: x * 1.5, made.params["synthesis"])
    other = dataclasses.replace(made, params={**made.params, "synthesis": moved})
    name = "ppl_wend40[colours]"
    for changed in ({"made": other}, {"features": colours(2)}):
        assert score([PPL], **changed)[name] != pytest.approx(expected[name], rel=0.01)


@pytest.mark.thorough
def test_networks_are_known_by_their_parameters(expected, monkeypatch):
    monkeypatch.setattr(task.own, "load", {Path("mine"): colours()}.get)
    assert score([FID], features=Path("mine")).items() <= expected.items()
    assert score([FID], Unreadable(30)).items() <= expected.items()
    nameless = FrozenNetwork("colours", 12, {}, lambda _, x: x.mean((1, 2)))
    for _ in range(2):  # nor is it kept
        with pytest.raises(AssertionError, match="an image was read"):
            score([FID], Unreadable(30), features=nameless)


@pytest.mark.thorough
def test_two_processes_share_the_work(expected, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parent.parent.parent
    processes = [
        subprocess.Popen(
            [sys.executable, measuring.__file__, str(port), str(index), "2"],
            env=os.environ
            | {
                "PYTHONPATH": str(root),
                "STYLEGAN_JAX_CACHE": str(tmp_path / f"{index}"),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        texts = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for text in texts:
        found = json.loads(text.splitlines()[-1])
        assert len(found) == 3
        assert found == pytest.approx({k: expected[k] for k in found}, rel=1e-5)
    # The other process wrote nothing, and still had the cache.
    assert (tmp_path / "0").exists() and not (tmp_path / "1").exists()


# --- Before it is taken --------------------------------------------------------------


@pytest.mark.parametrize("measure", ALIKE)
def test_the_scores_that_are_announced_are_those_that_come(expected, measure):
    options = MeasureOptions(features=colours(), quiet=True)
    announced = measures.prepare(Portraits(30), measure, options)
    stem = measure.name_on("colours")
    assert announced.keys() == {name for name in expected if name.startswith(stem)}
    assert set(announced.values()) == {measure.kind == "pr"}


def test_scores_of_classifiers_and_of_classes_have_their_names(monkeypatch):
    monkeypatch.setattr(measures.inception, "load", lambda path: path)
    found = measures.prepare(Portraits(20), Measure("is", 1000), MeasureOptions())
    assert found == {"is1k_mean": True}
    found = measures.prepare(Portraits(20), Measure("ls", 200_000), MeasureOptions())
    assert found == {"ls_z": False, "ls_w": False}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ls"])
def test_weights_that_are_not_there_are_missed_at_once(kind, tmp_path):
    missing = tmp_path / "missing.pth"
    options = MeasureOptions(inception=missing, vgg16=missing, lpips=missing)
    with pytest.raises(UserError, match="missing"):
        measures.prepare(Portraits(20), Measure(kind, 1000), options)


def test_what_cannot_be_measured_says_why(monkeypatch):
    with pytest.raises(UserError, match=r"is40 is a score of Inception's classes"):
        score([Measure("is", COUNT)])
    with pytest.raises(UserError, match=r"is40 is a score .* colours has none"):
        options = MeasureOptions(features=colours())
        measures.prepare(Portraits(20), Measure("is", COUNT), options)

    def absent(path):
        raise UserError("Inception cannot be fetched")

    monkeypatch.setattr(measures.inception, "load", absent)
    with pytest.raises(UserError, match=r"cannot be fetched; or score .* `features`"):
        score([FID], features=None)
