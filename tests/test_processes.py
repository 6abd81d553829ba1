"""Joining a job, and the watchdog; for several processes see tests/distributed."""

import subprocess
import sys

import jax
import pytest

from stylegan_jax.distributed import parallel, processes, watchdog
from stylegan_jax.distributed.watchdog import Watchdog
from stylegan_jax.errors import LostProcessError, UserError


@pytest.mark.parametrize(
    "given",
    [
        {"coordinator": "host:1"},
        {"num_processes": 2, "process_id": 0},
        {"coordinator": "host:1", "process_id": 0},
    ],
)
def test_half_of_an_address_is_refused_with_the_way_out(given):
    with pytest.raises(UserError, match="go together; `distributed` auto"):
        processes.join(**given)


def test_an_address_without_a_port_is_refused():
    with pytest.raises(UserError, match="host is not HOST:PORT"):
        processes.join(coordinator="host", num_processes=2, process_id=0)


def test_what_jax_says_becomes_a_sentence_with_the_way_out(monkeypatch):
    def nothing(*_, **__):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", nothing)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    with pytest.raises(UserError, match=r"found no TPU pod.*`process_id`"):
        processes.join(detect=True)


def test_one_process_is_always_of_one_mind():
    processes.join()
    processes.meet()
    assert processes.broadcast(b"abc") == b"abc"
    assert processes.largest(7) == 7
    processes.require_same("anything", {"a": 1})
    ballot = processes.Ballot(parallel.make_mesh(2))
    assert [ballot.cast(n) for n in (0, 15, 2)] == [0, 15, 2]


def test_a_broken_connection_is_blamed_on_another_process_and_nothing_else(monkeypatch):
    broken = RuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")

    def raised(error):
        with pytest.raises(type(error)) as caught, Watchdog():
            raise error
        return caught.value

    assert raised(broken) is broken
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(LostProcessError, match=r"process 0 of 3 .*closed by peer"):
        raised(broken)
    for own in (ValueError("shapes differ"), UserError("no connection")):
        assert raised(own) is own


@pytest.fixture
def armed(monkeypatch):
    """The seconds of the timer after each call; None: there is none. And the clock."""
    seconds, now = [], [100.0]

    def dump_later(timeout, **_):
        seconds.append(timeout)

    def cancel():
        seconds.append(None)

    monkeypatch.setattr(watchdog.faulthandler, "dump_traceback_later", dump_later)
    monkeypatch.setattr(watchdog.faulthandler, "cancel_dump_traceback_later", cancel)
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])
    return seconds, now


def test_a_step_may_take_a_multiple_of_the_longest_and_other_work_longer(armed):
    seconds, now = armed

    def step(after):
        now[0] += after
        dog.step()
        return seconds[-1]

    with Watchdog(10.0) as dog:
        dog.begin()
        assert seconds[-1] == 450.0
        # The first three steps: whatever they wait for.
        assert [step(3.0) for _ in range(4)] == [200.0, 200.0, 10.0, 60.0]
        assert step(0.1) == 60.0 and step(7.0) == 140.0
        dog.pause()
        assert seconds[-1] is None and step(1000.0) == 200.0
        dog.new_phase()
        assert [step(0.1) for _ in range(4)] == [200.0, 200.0, 10.0, 10.0]
    assert seconds[-1] is None
    with Watchdog() as dog:
        assert step(1.0) is None


@pytest.mark.thorough
@pytest.mark.parametrize("several", [False, True])
def test_a_stuck_step_is_reported_and_ends_one_of_several_processes(several):
    code = (
        "import time, jax\n"
        "from stylegan_jax.distributed.watchdog import Watchdog\n"
        f"jax.process_count = lambda: {1 + several}\n"
        "def stuck(): time.sleep(1.5)\n"
        "with Watchdog(0.01) as dog: dog.step(); stuck(); print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert "Timeout" in done.stderr and "in stuck" in done.stderr
    assert (done.returncode, "went on" in done.stdout) == (int(several), not several)
