"""Runs that are killed or asked to stop, and what they come to in the end."""

import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.runs import stored

END_NIMG = 1200
_PATIENCE = 240  # seconds for one process, on a busy machine


def wait(process: subprocess.Popen) -> str:
    """Waits for a process that should succeed; returns what it said."""
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, output
    return output


def finished(workdir: Path) -> list[int]:
    """Image counts of the complete checkpoints, newest first."""
    return [nimg for nimg, _ in stored.step_directories(workdir / "checkpoints")]


def begun(workdir: Path) -> set[int]:
    """Image counts of all checkpoints, those under way too."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.glob("nimg_*")] if folder.is_dir() else []
    return {int(re.findall(r"\d+", name)[0]) for name in names}


def kill_at_random(
    process: subprocess.Popen, workdir: Path, rng: random.Random, *, starting: bool
) -> dict:
    """Kills a run while it starts, or around one of its next saves.

    Returns what was seen: image counts of the newest complete checkpoint before and
    after, the saves that began meanwhile, and whether one was under way.
    """
    before = max(finished(workdir), default=0)
    old = begun(workdir)
    deadline = time.monotonic() + _PATIENCE
    # Another save begins when the one before is finished.
    saves = rng.randint(1, 2) if before else 2
    while not starting and len(begun(workdir) - old) < saves:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    # A save takes some 0.1 s and the steps between two likewise, so that some kills
    # meet a save and some do not.
    time.sleep(rng.uniform(0.5, 5.0) if starting else rng.uniform(0.0, 0.3))
    process.kill()
    process.communicate(timeout=_PATIENCE)
    assert process.returncode == -signal.SIGKILL
    new = begun(workdir) - old
    # It went on from the newest checkpoint, not from the beginning.
    assert all(nimg > before for nimg in new)
    complete = finished(workdir)
    return {
        "before": before,
        "after": max(complete, default=0),
        "in_save": bool(new - set(complete)),
    }


def contents(workdir: Path) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint, checked against its CRC."""
    (nimg, path), *_ = stored.step_directories(workdir / "checkpoints")
    assert nimg == END_NIMG
    return stored.read_step(nimg, path).leaves


def metrics(workdir: Path) -> list[dict]:
    """The lines of metrics, less what depends on the clock."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    clock = ("time", "images_per_second")
    return [
        {key: value for key, value in json.loads(line).items() if key not in clock}
        for line in lines
    ]


@pytest.mark.parametrize(
    "kills", [1, pytest.param(10, marks=pytest.mark.slow)], ids=["1_kill", "10_kills"]
)
def test_a_killed_run_ends_as_if_it_had_never_been(tmp_path, recipe, start, kills):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    began = time.monotonic()
    wait(start("train", recipe, "--workdir", whole))
    print(f"uninterrupted: {time.monotonic() - began:.1f} s")

    rng = random.Random(kills)
    for kill in range(kills):
        began = time.monotonic()
        process = start("train", recipe, "--workdir", broken)
        seen = kill_at_random(process, broken, rng, starting=kill % 4 == 2)
        print(f"kill {kill + 1}: {time.monotonic() - began:.1f} s, {seen}")
    assert 0 < max(finished(broken)) < END_NIMG
    began = time.monotonic()
    wait(start("train", recipe, "--workdir", broken))
    print(f"last part: {time.monotonic() - began:.1f} s")

    expected, found = contents(whole), contents(broken)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name
    assert metrics(broken) == metrics(whole)
    assert not list((broken / "checkpoints").glob("*tmp*"))


def test_sigterm_saves_and_exits_with_0(tmp_path, recipe, start):
    workdir = tmp_path / "run"
    # No checkpoint but the one that the signal asks for.
    words = [recipe, "--workdir", workdir, "--checkpoint.every-kimg", 100]
    process = start("train", *words, "--schedule.total-kimg", 400)
    lines = []
    while not re.match(r"kimg .*images/s", lines[-1] if lines else ""):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    assert not finished(workdir)
    process.send_signal(signal.SIGTERM)
    output = wait(process)
    (nimg,) = finished(workdir)
    assert nimg > 0 and f"saved at {nimg / 1000:.3f} kimg" in output
    assert "SIGTERM: stopping after this step" in output

    # The same command goes on from there.
    wait(start("train", *words, "--schedule.total-kimg", (nimg + 8) / 1000))
    assert finished(workdir)[0] == nimg + 8
    counts = [line["nimg"] for line in metrics(workdir)]
    assert counts == sorted(set(counts))
