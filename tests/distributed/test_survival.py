"""A process that is killed, raises, hangs or is stopped, and what the others do."""

import re
import signal
import time

import pytest

from tests.distributed import jobs, survival
from tests.distributed.jobs import contents, finished

LEAVE_SECONDS = 60.0  # what the documentation promises


@pytest.fixture(scope="module")
def whole(server, ring, tmp_path_factory):
    """A run of two processes to which nothing happened."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    finished(server.train([ring, "--workdir", workdir], processes=2))
    return workdir


def assert_continues_bitwise(server, ring, run, whole):
    finished(server.train([ring, "--workdir", run], processes=2))
    assert_same_bits(whole, run)


def assert_same_bits(whole, run):
    (nimg, expected), (other_nimg, found) = contents(whole), contents(run)
    assert nimg == other_nimg and expected.keys() == found.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_sigterm_in_any_process_saves_and_ends_all(server, ring, tmp_path, whole, rank):
    run = tmp_path / "run"
    fault = {"rank": rank, "nimg": 200, "what": "SIGTERM"}
    job = server.train([ring, "--workdir", run], processes=2, fault=fault)
    finished(job)
    nimg, _ = contents(run)
    assert 200 <= nimg <= 232  # agreed on within four steps
    assert f"SIGTERM: saved at {nimg / 1000:.3f} kimg" in job[0].output()
    assert_continues_bitwise(server, ring, run, whole)


def test_a_job_that_is_killed_again_and_again_loses_nothing(
    server, ring, tmp_path, whole
):
    survival.kills(server, ring, tmp_path / "run", count=3, end_nimg=800)
    assert_same_bits(whole, tmp_path / "run")


SAYS = {
    ("raise", 0): "process 0 of 2 .* failed: RuntimeError: the disk of this machine",
    ("raise", 1): "process 1 of 2 .* failed: RuntimeError: the disk of this machine",
    ("SIGKILL", 0): "(process 0 of 2|leader task|another task died)",
    ("SIGKILL", 1): "process 1 of 2 .* no sign of life",
    ("SIGSTOP", 0): "process 0 of 2.* has not answered",
    ("SIGSTOP", 1): "process 1 of 2 .* no sign of life",
    ("hang", 0): "process 0 of 2 .*(did not begin the same step|the others wait)",
    ("hang", 1): "process 1 of 2 .*(did not begin the same step|the others wait)",
}
FAST = [("raise", 1)]
SLOW = [
    pytest.param(*case, marks=pytest.mark.slow) for case in SAYS if case not in FAST
]


@pytest.mark.parametrize(("what", "rank"), FAST + SLOW)
def test_the_others_leave_and_say_why(server, ring, tmp_path, whole, what, rank):
    run = tmp_path / "run"
    fault = {"rank": rank, "nimg": 400, "what": what}
    job = server.train([ring, "--workdir", run], processes=2, fault=fault)
    try:
        other = job[1 - rank]
        while not job[rank].log.with_suffix(".fault").exists():
            assert not other.ended, other.output()
            time.sleep(0.02)
        began = time.monotonic()
        assert other.wait() not in (0, 2), other.output()
        took = time.monotonic() - began
        print(f"{what} of process {rank}: left after {took:.1f} s with {other.wait()}")
        assert took < LEAVE_SECONDS
        assert re.search(SAYS[what, rank], other.output()), other.output()
        if what == "SIGSTOP":
            job[rank].send(signal.SIGCONT)
    finally:
        jobs.end(job)
    if (what, rank) not in FAST:
        assert_continues_bitwise(server, ring, run, whole)
