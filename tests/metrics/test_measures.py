import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import drawing, measures, store, streaming
from stylegan_jax.metrics.kernel import draw_subsets
from stylegan_jax.metrics.names import Measure
from tests.metrics import measuring
from tests.metrics.measuring import ALIKE, COUNT, Unreadable, colours, score

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
    made, source = measuring.generator(), Portraits(30)
    options = {"batch_size": 8, "quiet": True}
    fake = drawing.features_of_fakes(made, colours(), COUNT, **options)
    real = drawing.features_of_reals(
        source, colours(), COUNT, 8, mirror=True, **options
    )
    real, fake = (np.concatenate([*x]).astype(np.float64) for x in (real, fake))
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


def test_path_length_on_features_is_their_squared_distance(expected):
    # The same features of twice the size have four times the squared distances.
    doubled = score([PPL], features=colours(2), cache=False)
    name = "ppl_wend40[colours]"
    assert doubled[name] == pytest.approx(4 * expected[name], rel=1e-5)


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


def test_features_that_were_kept_serve_statistics(expected):
    score([KID])
    assert score([FID], Unreadable(30)).items() <= expected.items()


def test_a_damaged_file_is_computed_again(expected, folder, caplog):
    score([FID])
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    assert score([FID]).items() <= expected.items()
    assert f"{path} is damaged" in caplog.text
    caplog.clear()
    assert score([FID], Unreadable(30)).items() <= expected.items()
    assert not caplog.text


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("kind", "savings", "starts"),
    [(FID, 1, [16, 0]), (FID, 3, [32]), (KID, 2, [16]), (PPL, 2, [32])],
)
def test_a_measure_that_was_killed_continues_bit_for_bit(
    expected, monkeypatch, folder, kind, savings, starts
):
    save, chunks, left, begun = store.Partial.save, streaming.chunks, [savings], []

    def save_and_die(self, arrays):
        save(self, arrays)
        left[0] -= 1
        if not left[0]:
            raise Killed

    def noted(*args, start=0, **options):
        begun.append(start)
        return chunks(*args, start=start, **options)

    monkeypatch.setattr(store.Partial, "save", save_and_die)
    with pytest.raises(Killed):
        score([kind], mesh=parallel.make_mesh(1))
    monkeypatch.setattr(streaming, "chunks", noted)
    # On other devices.
    assert score([kind], mesh=parallel.make_mesh(2)).items() <= expected.items()
    assert begun == starts
    assert len([*folder.iterdir()]) == (kind is not PPL)


def test_another_network_or_other_features_do_not_continue(monkeypatch, expected):
    monkeypatch.setattr(store.Store, "finish", lambda self: None)
    score([PPL])
    made = measuring.generator()
    moved = jax.tree.map(lambda x: x * 1.5, made.params["synthesis"])
    other = dataclasses.replace(made, params={**made.params, "synthesis": moved})
    name = "ppl_wend40[colours]"
    for changed in ({"made": other}, {"features": colours(2)}):
        assert score([PPL], **changed)[name] != pytest.approx(expected[name], rel=0.01)


def test_features_that_cannot_be_told_apart_are_not_cached(monkeypatch):
    caches = {}
    monkeypatch.setitem(
        measures._MEASURES, "fid", lambda task: {task.name: task.files.enabled}
    )
    for name, params in (("known", {"scale": jnp.float32(1)}), ("nameless", {})):
        network = FrozenNetwork(name, 3, params, lambda *_: None)
        caches |= score([FID], features=network)
    assert caches == {"fd40[known]": True, "fd40[nameless]": False}


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


def test_inception_score_takes_no_other_features():
    with pytest.raises(UserError, match=r"is40 is a score of Inception's classes"):
        score([Measure("is", COUNT)])


def test_a_file_of_features_is_opened_and_known_by_its_content(monkeypatch, tmp_path):
    path = tmp_path / "mine.jaxexport"
    path.write_bytes(b"one")
    empty = dataclasses.replace(colours(), params={})
    plain = dataclasses.replace(
        empty, function=lambda _, x: colours().function(colours().params, x)
    )
    monkeypatch.setattr(
        measures.own, "load", lambda given: plain if given == path else 0
    )
    found = score([FID], features=path)
    assert score([FID], Unreadable(30), features=path) == found
    path.write_bytes(b"two")
    with pytest.raises(AssertionError, match="an image was read"):
        score([FID], Unreadable(30), features=path)


def test_absent_weights_point_to_other_features(monkeypatch):
    def absent(path):
        raise UserError("Inception cannot be fetched")

    monkeypatch.setattr(measures.inception, "load", absent)
    with pytest.raises(UserError, match=r"cannot be fetched; or score .* --features"):
        score([FID], features=None)
