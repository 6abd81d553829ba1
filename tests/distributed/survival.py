"""Figures of docs/reliability.md: `python -m tests.distributed.survival WHAT [COUNT]`.

WHAT is `kills` (of a run of two processes), `flips` (of bits in checkpoints) or
`full` (a disk without space: give the folder of a small file system in place of
COUNT).
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import collections
import contextlib
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.distributed import jobs
from tests.distributed.conftest import HEAD, RING

END_NIMG = 8000


def saved(run: Path) -> int:
    """Image count of the newest complete checkpoint."""
    from stylegan_jax.runs import stored

    return max((n for n, _ in stored.step_directories(run / "checkpoints")), default=0)


def kills(
    server: jobs.Server, recipe: Path, run: Path, count: int, end_nimg: int
) -> collections.Counter:
    """Kills one process of two at random moments and starts the job again.

    Prints for each kill: its number, the process, the newest checkpoint before and
    after, and whether one was being written.

    Returns:
        What was killed, and when.
    """
    words = [recipe, "--schedule.total-kimg", end_nimg / 1000, "--workdir", run]
    rng = random.Random(count)
    seen: collections.Counter = collections.Counter()
    left = []
    for kill in range(count):
        before = saved(run)
        job = server.train(words, processes=2)
        # Of five kills one comes while the job starts, two meet a save, and two come
        # some time after one.
        starting, saving = kill % 5 == 4, kill % 5 in (1, 3)
        goal = min(before + 80 * rng.randint(1, 2), end_nimg - 160)
        if starting:
            time.sleep(rng.uniform(0.0, 5.0))
        while not starting and saved(run) < goal:
            assert not job[0].ended, job[0].output()
            time.sleep(0.002)
        while saving and not list((run / "checkpoints").glob("*tmp*")):
            assert not job[0].ended, job[0].output()
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.05 if saving else 0.5))
        victim = 0 if saving else rng.randint(0, 1)
        under_way = bool(list((run / "checkpoints").glob("*tmp*")))
        job[victim].send(signal.SIGKILL)
        job[victim].wait()
        if kill % 10 == 5:  # the other leaves by itself, elsewhere its host kills it
            began = time.monotonic()
            job[1 - victim].wait()
            left.append(time.monotonic() - began)
        jobs.end(job)
        after = saved(run)
        assert after >= before, "a checkpoint was lost"
        seen[f"process {victim}"] += 1
        seen["starting" if starting else "during a save" if under_way else "else"] += 1
        print(kill + 1, victim, before, after, under_way, flush=True)
    if left:
        print(f"left alone, the other left after {min(left):.1f} to {max(left):.1f} s")
    jobs.finished(server.train(words, processes=2))
    return seen


def many_kills(folder: Path, count: int) -> None:
    """A run that is killed `count` times, compared with one that is not."""
    recipe = folder / "ring.py"
    recipe.write_text(HEAD + RING)
    server = jobs.Server(folder, folder / "xla")
    words = [recipe, "--schedule.total-kimg", END_NIMG / 1000]
    whole, run = folder / "whole", folder / "run"
    uninterrupted = server.train([*words, "--workdir", whole], processes=2)
    seen = kills(server, recipe, run, count, END_NIMG)
    jobs.finished(uninterrupted)
    server.close()
    (nimg, expected), (other_nimg, found) = jobs.contents(whole), jobs.contents(run)
    assert nimg == other_nimg == END_NIMG
    equal = all(found[k].tobytes() == expected[k].tobytes() for k in expected)
    print(f"{count} kills: {dict(seen)}")
    print(f"final state bitwise equal to the uninterrupted run's: {equal}")
    assert equal


def two_checkpoints(folder: Path) -> tuple[dict, dict]:
    """Two checkpoints of a small state, and their arrays."""
    from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints

    rng = np.random.default_rng(0)
    states = [
        {f"a{i}": rng.normal(size=(64, 1 + i)).astype("f") for i in range(8)}
        for _ in range(2)
    ]
    import jax

    with Checkpoints(folder, CheckpointConfig()) as checkpoints:
        for i, state in enumerate(states):
            checkpoints.save(1000 * (i + 1), jax.tree.map(jax.numpy.asarray, state))
    return states[0], states[1]


def flips(folder: Path, count: int) -> None:
    """Flips `count` bits of every file of a checkpoint, one at a time."""
    from stylegan_jax.runs import stored

    old, new = two_checkpoints(folder / "good")
    del old
    step = folder / "good" / "checkpoints" / "nimg_000002000"
    files = [p for p in sorted(step.rglob("*")) if p.is_file() and p.stat().st_size]
    total = collections.Counter()
    rng = random.Random(0)
    for path in files:
        good = path.read_bytes()
        outcome = collections.Counter()
        for _ in range(count):
            bad = bytearray(good)
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            path.write_bytes(bad)
            try:
                leaves = stored.read_step(2000, step).leaves
            except stored.UnreadableCheckpoint:
                outcome["detected"] += 1
                continue
            same = leaves.keys() == new.keys() and all(
                leaves[name].tobytes() == new[name].tobytes() for name in new
            )
            outcome["harmless" if same else "WRONG"] += 1
        path.write_bytes(good)
        total += outcome
        print(f"{path.relative_to(step)} ({len(good)} bytes): {dict(outcome)}")
    print(f"all: {dict(total)}")
    assert not total["WRONG"]


def full(folder: Path) -> None:
    """Saves to a file system until it is full, and once more with space again."""
    import jax

    from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints

    logging.basicConfig(format="%(levelname)s: %(message)s")
    noise = np.random.default_rng(0).normal(size=(3, 200_000)).astype("f")
    states = [{"a": jax.numpy.asarray(row)} for row in noise]
    config = CheckpointConfig(keep_last=3)
    with Checkpoints(folder, config) as checkpoints:
        for i, state in enumerate(states):
            if i == 1:
                space = shutil.disk_usage(folder).free
                (folder / "ballast").write_bytes(bytes(max(space - 300_000, 0)))
            checkpoints.save(1000 * (i + 1), state)
            newest = checkpoints.wait()
            names = sorted(p.name for p in checkpoints.directory.iterdir())
            print(f"save {i + 1}: newest {newest and newest.name}; there: {names}")
            if i == 1:
                (folder / "ballast").unlink()
        restored = checkpoints.restore_latest(states[0])
    assert restored is not None and restored.nimg == 3000
    assert (np.asarray(restored.state["a"]) == noise[2]).all()
    print(f"restored {restored.nimg}, as it was saved")


def full_run(disk: Path, folder: Path) -> None:
    """A run whose disk is full for a while."""
    recipe, run = folder / "ring.py", disk / "run"
    recipe.write_text(HEAD + RING)
    server = jobs.Server(folder, folder / "xla")
    kimg = END_NIMG / 1000
    job = server.train([recipe, "--workdir", run, "--schedule.total-kimg", kimg])
    try:
        while saved(run) < 400:
            assert not job[0].ended, job[0].output()
            time.sleep(0.05)
        before = saved(run)
        with contextlib.suppress(OSError), (disk / "ballast").open("wb") as ballast:
            while True:
                ballast.write(bytes(4096))
                ballast.flush()
        while job[0].output().count("checkpoint at") < 3:
            assert not job[0].ended, job[0].output()
            time.sleep(0.05)
        during = saved(run)
        (disk / "ballast").unlink()
        jobs.finished(job)
    finally:
        jobs.end(job)
        server.close()
    told = [line for line in job[0].output().splitlines() if "WARNING" in line]
    print(f"full after {before} images, newest then {during}, at the end {saved(run)}")
    print(f"{len(told)} warnings, such as:")
    print("\n".join(dict.fromkeys(line[:150] for line in told[:6])))
    assert saved(run) == END_NIMG and not list((run / "checkpoints").glob("*tmp*"))


def main() -> None:
    """Runs one of them."""
    what, count = sys.argv[1], sys.argv[2]
    if what == "full":
        full(Path(count))
        with tempfile.TemporaryDirectory() as folder:
            full_run(Path(count), Path(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        {"kills": many_kills, "flips": flips}[what](Path(folder), int(count))


if __name__ == "__main__":
    main()
