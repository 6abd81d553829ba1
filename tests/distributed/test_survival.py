"""A process that is killed, raises, hangs or is stopped, and what the others do."""

import functools
import random
import re
import shutil
import signal
import time

import pytest

from stylegan_jax.runs import run_directory
from tests.distributed.jobs import contents, end, finished

LEAVE_SECONDS = 60.0  # what the documentation promises


@pytest.fixture(scope="module")
def whole(server, ring, tmp_path_factory):
    """Makes a run, of so many processes, to which nothing happened."""

    @functools.cache
    def run(processes):
        workdir = tmp_path_factory.mktemp("runs") / "whole"
        finished(server.train([ring, "--workdir", workdir], processes=processes))
        return workdir

    return run


def assert_same_bits(whole, run):
    (nimg, expected), (other_nimg, found) = contents(whole), contents(run)
    assert nimg == other_nimg and expected.keys() == found.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("processes", "rank", "scheme"), [(2, 1, "file://"), slow(2, 0, ""), slow(4, 2, "")]
)
def test_sigterm_in_any_process_saves_and_ends_all(
    server, ring, tmp_path, whole, processes, rank, scheme
):
    run = tmp_path / "run"
    words = [ring, "--workdir", f"{scheme}{run}"]
    fault = {"rank": rank, "nimg": 200, "what": "SIGTERM"}
    job = finished(server.train(words, processes=processes, fault=fault))
    nimg, _ = contents(run)
    assert 200 <= nimg <= 232  # agreed on within four steps
    assert f"SIGTERM: saved at {nimg / 1000:.3f} kimg" in job[0].output()
    if scheme:
        # The folder stands in for a bucket: nothing but the URL tells. The machine
        # that continues has never seen the run.
        shutil.rmtree(server.own_cache / "runs")
    finished(server.train(words, processes=processes))
    assert_same_bits(whole(processes), run)
    assert len((run / "metrics.jsonl").read_text().splitlines()) >= 20


def kill_again_and_again(server, words, run, count):
    """Kills one process of two, during a save, after one, or while the job starts."""
    rng = random.Random(count)
    for kill in range(count):
        before = run_directory.shown(run) or 0
        job = server.train(words, processes=2)
        starting, saving = kill % 3 == 2, kill % 3 == 1
        if starting:
            time.sleep(rng.uniform(0.0, 5.0))
        while not starting and (run_directory.shown(run) or 0) <= before:
            assert not job[0].ended, job[0].output()
            time.sleep(0.002)
        while saving and not list((run / "checkpoints").glob("*tmp*")):
            assert not job[0].ended, job[0].output()
            time.sleep(0.001)
        job[0 if saving else rng.randint(0, 1)].send(signal.SIGKILL)
        for process in job:  # the other leaves by itself
            process.wait(LEAVE_SECONDS)
        assert (run_directory.shown(run) or 0) >= before, "a checkpoint was lost"


@pytest.mark.parametrize("count", [2, slow(20)])
def test_a_job_that_is_killed_again_and_again_loses_nothing(
    server, ring, tmp_path, whole, count
):
    words = [ring, "--workdir", tmp_path / "run"]
    if count > 2:
        words += ["--checkpoint.every-kimg", 0.016]
    kill_again_and_again(server, words, tmp_path / "run", count)
    finished(server.train(words, processes=2))
    assert_same_bits(whole(2), tmp_path / "run")


LOST = "process {other} of {count} has lost the connection to another one"
SAYS = {
    "raise": LOST,
    "SIGKILL": LOST,
    "SIGSTOP": "stopped sending heartbeats|coordination service",
    "hang": f"{LOST}|Timeout",
}
# JAX's runtime, which process 0 serves, may be the first to say that it is gone.
COORDINATOR_KILLED = f"{LOST}|another task died"
FAST = (2, "raise", 1)
SLOW = [
    *((2, what, rank) for what in SAYS for rank in (0, 1)),
    *((4, what, 2) for what in SAYS),
    *((4, what, 0) for what in ("SIGKILL", "SIGSTOP")),
]


@pytest.mark.parametrize(
    ("processes", "what", "rank"), [FAST, *(slow(*x) for x in SLOW if x != FAST)]
)
def test_the_others_leave_and_say_why(
    server, ring, tmp_path, whole, processes, what, rank
):
    run = tmp_path / "run"
    fault = {"rank": rank, "nimg": 400, "what": what}
    words = [ring, "--workdir", run, "--run.stall-seconds", 5.0]
    job = server.train(words, processes=processes, fault=fault)
    others = {i: process for i, process in enumerate(job) if i != rank}
    gone = what in ("raise", "SIGKILL") and rank == 0
    says = COORDINATOR_KILLED if gone else SAYS[what]
    try:
        while not job[rank].log.with_suffix(".fault").exists():
            assert not any(other.ended for other in others.values()), job[0].output()
            time.sleep(0.02)
        began = time.monotonic()
        statuses = [other.wait() for other in others.values()]
        took = time.monotonic() - began
        print(f"{what}, {rank} of {processes}: left after {took:.1f} s with {statuses}")
        assert took < LEAVE_SECONDS and not set(statuses) & {0, 2}
        for i, other in others.items():
            cause = says.format(other=i, count=processes)
            assert re.search(cause, other.output()), other.output()
        if what == "raise":  # the one that is to blame gives the reason
            assert job[rank].wait() == 1
            assert "the disk of this machine is on fire" in job[rank].output()
        if what == "hang":
            assert job[rank].wait() == 1 and "in defer" in job[rank].output()
        if what == "SIGSTOP":
            job[rank].send(signal.SIGCONT)
    finally:
        end(job)
    if (processes, what, rank) != FAST:
        finished(server.train(words, processes=processes))
        assert_same_bits(whole(processes), run)
