"""Every record of a run, damaged in many ways, before everything that reads it."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from stylegan_jax import loading
from stylegan_jax.commands import serve
from stylegan_jax.errors import UserError
from stylegan_jax.figures import points, score_curves
from stylegan_jax.metrics import evaluations
from stylegan_jax.runs import retention, run_directory, stored
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.runs.retention import Criterion
from stylegan_jax.training import recovery
from stylegan_jax.training.report import Report
from tests import tiny

MODEL, CONFIG = tiny.MODEL_8, tiny.config(tiny.MODEL_8)
STEP = Path("checkpoints") / "nimg_000000200"
IDENTITY = {"metric": "fid5k", "seed": 0, "network": "a", "settings": {"data": {}}}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run of two scored checkpoints, as training leaves it."""
    run = tmp_path_factory.mktemp("good") / "run"
    run_directory.start_run(run, CONFIG)
    facts = {"resolution": 8, "alpha": None, "due": ["m"]}
    best = Criterion("m", larger_is_better=False)
    with (
        Report(run, 1000) as writer,
        Checkpoints(run, CheckpointConfig()) as checkpoints,
    ):
        for nimg in (100, 200):
            checkpoints.save(nimg, tiny.state(MODEL), facts)
            writer.write(nimg, {"metrics/m": 300.0 - nimg})
            checkpoints.record_scores(nimg, "m", {"m": 300.0 - nimg}, 8, best)
            evaluations.add(run, {**IDENTITY, "nimg": nimg}, {"fid5k": 1.5})
    (run / "rollbacks.json").write_text('[{"to_nimg": 100, "because": "é"}]')
    return run


@pytest.fixture(autouse=True)
def _no_git(monkeypatch):
    monkeypatch.setattr(run_directory, "_git_version", lambda _: (None, None))


@pytest.fixture
def run(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "run"))


def restore(run):
    with Checkpoints(run, CheckpointConfig()) as checkpoints:
        restored = checkpoints.restore_latest(tiny.state(MODEL))
        checkpoints.record_scores(100, "n", {"n": 1.0}, 8, Criterion("n", True))
        return restored


def continue_writing(run):
    with Report(run, 1000, 200) as writer:
        writer.write(200, {"metrics/n": 1.0})


READERS = {
    "config.json": [
        run_directory.model_config,
        run_directory.data_config,
        lambda run: points._stored(run),
        lambda run: serve.find_frame(serve.ServeArgs(network=str(run))),
        lambda run: run_directory.start_run(run, CONFIG),
    ],
    "provenance.json": [lambda run: run_directory.start_run(run, CONFIG)],
    "rollbacks.json": [recovery._read],
    "metrics.jsonl": [
        score_curves.read_scores,
        continue_writing,
        score_curves.read_scores,
    ],
    "evaluations.jsonl": [
        lambda run: evaluations.find(run, IDENTITY),
        evaluations.history,
        score_curves.read_scores,
    ],
    "checkpoints/best.json": [
        lambda run: retention.read_best(run / "checkpoints"),
        lambda run: loading.located(run / "checkpoints" / "best"),
        restore,
    ],
    f"{STEP}/scores.json": [lambda run: retention.read_scores(run / STEP), restore],
    f"{STEP}/checksums.json": [restore],
    f"{STEP}/meta/metadata": [lambda run: loading.load(run / STEP), restore],
}
# Those that a command can do without: no reader may fail for them.
REBUILT = {
    *("provenance.json", "evaluations.jsonl"),
    *(f"{STEP}/scores.json", f"{STEP}/checksums.json"),
}


def harmed(data):
    """Damage of the text, then JSON of other values: keys gone, or of another type."""
    text = data.decode()
    yield from (
        b"",
        b"\n",
        b"\0" * 4096,
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'"a"',
        b"[1, 2]",
    )
    yield b"[" * 200_000
    yield b'{"a":' * 500 + b"1" + b"}" * 500
    yield data[: len(data) // 2]
    yield data[:-2] + b"\xe9" + data[-2:]
    yield data.replace(b'"', b"'")
    yield data * 2
    yield bytes(255 - x for x in data)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32"):
        yield text.encode(encoding)
    for odd in ("NaN", "-Infinity", "1e999", "9" * 30, "9" * 9999, '"\\ud800"'):
        yield text.replace("200", odd).replace("8", odd).encode()
    for line in data.splitlines() if b"\n{" in data else [data]:
        for other in changed(json.loads(line), 3):
            yield line.join([b"", b"\n"]) + json.dumps(other).encode() + b"\n"
            yield json.dumps(other).encode() + b"\n"


def changed(value, depth):
    yield from (
        None,
        True,
        -1,
        2.5,
        1 << 62,
        "../../etc/passwd",
        [],
        [[]],
        {},
        {"a": 1},
    )
    if depth and isinstance(value, dict):
        for key in list(value)[:12]:
            yield {k: v for k, v in value.items() if k != key}
            yield from (value | {key: x} for x in changed(value[key], depth - 1))
    if depth and isinstance(value, list):
        for i, each in enumerate(value[:2]):
            for x in changed(each, depth - 1):
                yield [*value[:i], x, *value[i + 1 :]]


def read_all(name, run, rebuilt=REBUILT):
    """Every reader; each succeeds or raises our error, which names a way on."""
    for read in READERS[name]:
        try:
            read(run)
        except UserError as error:
            assert name not in rebuilt, error
            assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("cheap", "whole"), [(11, 1), pytest.param(150, 10, marks=pytest.mark.thorough)]
)
@pytest.mark.parametrize("name", READERS)
def test_damage_is_an_error_of_ours_or_a_warning(name, good, tmp_path, cheap, whole):
    wanted = whole if restore in READERS[name] else cheap
    found = list(dict.fromkeys(harmed((good / name).read_bytes())))
    for i, data in enumerate(found[:: -(-len(found) // wanted)]):
        run = tmp_path / (str(i) if restore in READERS[name] else "run")
        if not run.exists():
            shutil.copytree(good, run)
        (run / name).write_bytes(data)
        read_all(name, run)


PLACES = ["/dev/zero", "fifo", "loop", "folder", "/etc/passwd", "/dev/stdin", "socket"]


@pytest.mark.parametrize(
    ("cheap", "whole"), [(2, 1), pytest.param(7, 7, marks=pytest.mark.thorough)]
)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_never_opened(name, good, tmp_path, cheap, whole):
    for place in PLACES[: whole if restore in READERS[name] else cheap]:
        run = Path(shutil.copytree(good, tmp_path / place.replace("/", "_")))
        path = run / name
        path.unlink()
        if place == "fifo":
            os.mkfifo(path)
        elif place == "folder":
            path.mkdir()
        elif place == "socket":
            os.mknod(path, 0o600 | stat.S_IFSOCK)
        else:
            path.symlink_to(path if place == "loop" else place)
        read_all(name, run, ())


def test_links_that_a_user_makes_are_followed(run, tmp_path):
    """Checkpoints on another disk, one of another run, a copy within."""
    shutil.move(run / "checkpoints", tmp_path / "large_disk")
    (run / "checkpoints").symlink_to(tmp_path / "large_disk")
    shutil.move(run / STEP, tmp_path / STEP.name)
    (run / STEP).symlink_to(tmp_path / STEP.name)
    (run / "config.json").rename(run / "kept.json")
    (run / "config.json").symlink_to("kept.json")
    (tmp_path / "link").symlink_to(run)
    for path in (tmp_path / "link", run / STEP):
        assert loading.load(path).resolution == 8
    assert restore(run).nimg == 200


def test_records_that_name_files_elsewhere_are_not_followed(run):
    outside = run.parent / "nimg_000000900"
    outside.mkdir()
    best = json.loads((run / "checkpoints" / "best.json").read_text())
    for name in ("../../nimg_000000900", str(outside), "..", "nimg_000000100/../x"):
        text = json.dumps(best | {"checkpoint": name, "nimg": 900})
        (run / "checkpoints" / "best.json").write_text(text)
        assert retention.read_best(run / "checkpoints") is None
        with pytest.raises(UserError, match=r"best\.json is damaged"):
            loading.located(run / "checkpoints" / "best")
    names = ("../../../../../../etc/passwd", "/etc/passwd")
    seal = {"files": dict.fromkeys(names, 1)}
    seal["crc32"] = stored._record_crc(seal)
    (run / STEP / "checksums.json").write_text(json.dumps(seal))
    with pytest.raises(stored.UnreadableCheckpoint, match="passwd is gone"):
        stored.read_step(200, run / STEP)


def test_while_the_best_is_unknown_every_scored_checkpoint_is_kept(run):
    (run / "checkpoints" / "best.json").write_text("{")
    config = CheckpointConfig(keep_last=1, keep_every_kimg=None)
    with Checkpoints(run, config) as checkpoints:
        for nimg in (300, 400):
            checkpoints.save(nimg, tiny.state(MODEL))
        checkpoints.wait()
        kept = {nimg for nimg, _ in stored.step_directories(run / "checkpoints")}
        assert kept == {100, 200, 400}
        best = Criterion("m", larger_is_better=False)
        checkpoints.record_scores(400, "m", {"m": 500.0}, 8, best)
    assert retention.read_best(run / "checkpoints").nimg == 200


def test_damage_is_told_with_the_way_on(run, caplog):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    damaged = {
        "config.json": b'{"model": 3}',
        "rollbacks.json": b"3",
        "provenance.json": b"[1]",
        f"{STEP}/scores.json": b"",
        "metrics.jsonl": lines[0] + b"\xff\n" + lines[1],
    }
    for name, content in damaged.items():
        (run / name).write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json is damaged .*copy its config"):
        loading.load(run)
    with pytest.raises(UserError, match=r"rollbacks\.json is .*write \[\] there"):
        recovery._read(run)
    assert retention.read_scores(run / STEP) == {}
    says = "scores.json is damaged (it is empty); its scores are left out until they "
    assert says in caplog.messages[-1]
    continue_writing(run)
    assert any(
        "metrics.jsonl: damaged and left out: line 2" in text
        for text in caplog.messages
    )
    kept = run / "metrics.damaged1.jsonl"
    assert kept.read_bytes() == damaged["metrics.jsonl"]
    assert len((run / "metrics.jsonl").read_bytes().splitlines()) == 3
    (run / "config.json").unlink()
    for name in ("checkpoints", "metrics.jsonl"):
        (run / name).rename(run / f"{name}.moved")
    run_directory.start_run(run, CONFIG)
    assert len(json.loads((run / "provenance.json").read_text())) == 1
    assert (run / "provenance.damaged1.json").read_text() == "[1]"
    assert "a new list is begun" in caplog.messages[-1]
