"""A process that is killed, raises, hangs or is stopped, and what the others do."""

import functools
import re
import shutil
import signal
import time

import pytest

from tests.distributed import jobs, survival
from tests.distributed.jobs import contents, finished

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


def test_a_job_that_is_killed_again_and_again_loses_nothing(
    server, ring, tmp_path, whole
):
    survival.kills(server, ring, tmp_path / "run", count=3, end_nimg=800)
    assert_same_bits(whole(2), tmp_path / "run")


SAYS = {
    "raise": "process {} .* failed: RuntimeError: the disk of this machine",
    "SIGKILL": "process {} .* no sign of life",
    "SIGSTOP": "process {} .*(no sign of life|has not answered)",
    "hang": "process {} .*(did not begin the same step|the others wait)",
}
# JAX's runtime, which process 0 serves, may be the first to say that it is gone.
COORDINATOR_KILLED = "(process {}|leader task|another task died)"
FAST = [(2, "raise", 1)]
SLOW = [
    *((2, what, rank) for what in SAYS for rank in (0, 1)),
    *((4, what, 2) for what in SAYS),
    (4, "SIGKILL", 0),
    (4, "SIGSTOP", 0),
]


@pytest.mark.parametrize(
    ("processes", "what", "rank"), FAST + [slow(*x) for x in SLOW if x not in FAST]
)
def test_the_others_leave_and_say_why(
    server, ring, tmp_path, whole, processes, what, rank
):
    run = tmp_path / "run"
    fault = {"rank": rank, "nimg": 400, "what": what}
    job = server.train([ring, "--workdir", run], processes=processes, fault=fault)
    says = COORDINATOR_KILLED if (what, rank) == ("SIGKILL", 0) else SAYS[what]
    others = [process for process in job if process is not job[rank]]
    try:
        while not job[rank].log.with_suffix(".fault").exists():
            assert not any(other.ended for other in others), others[0].output()
            time.sleep(0.02)
        began = time.monotonic()
        for other in others:
            assert other.wait() not in (0, 2), other.output()
        took = time.monotonic() - began
        statuses = [other.wait() for other in others]
        print(f"{what}, {rank} of {processes}: left after {took:.1f} s with {statuses}")
        assert took < LEAVE_SECONDS
        for other in others:
            cause = says.format(f"{rank} of {processes}")
            assert re.search(cause, other.output()), other.output()
        if what == "SIGSTOP":
            job[rank].send(signal.SIGCONT)
    finally:
        jobs.end(job)
    if (processes, what, rank) not in FAST:
        finished(server.train([ring, "--workdir", run], processes=processes))
        assert_same_bits(whole(processes), run)
