"""What a process concludes from the others' notes, and from its own silence."""

import logging
import time

import jax
import pytest

from stylegan_jax.distributed import peers as peers_module
from stylegan_jax.distributed import processes
from stylegan_jax.distributed.peers import Peers
from stylegan_jax.distributed.watchdog import Watchdog


class Board:
    """Notes in memory; `clock` makes time pass."""

    def __init__(self):
        self.notes = {}

    def post(self, name, note):
        self.notes[name] = note

    def read(self, beginning):
        return {k: v for k, v in self.notes.items() if k.startswith(beginning)}


@pytest.fixture
def clock(monkeypatch):
    """A list with the time, of which tests make more."""
    now = [1000.0]
    monkeypatch.setattr(peers_module.time, "monotonic", lambda: now[0])
    return now


def three(monkeypatch, index=1):
    """Process `index` of three, and the board; the other two have one note each."""
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    peers = Peers()
    peers._board = Board()
    for other in {0, 1, 2} - {index}:
        beat(peers, other, 1)
    return peers


def beat(peers, index, number, **note):
    usual = {"beat": number, "steps": 0, "doing": "training", "host": "h", "pid": 7}
    peers._board.post(f"alive/{index}", usual | {"left": False} | note)


def test_a_process_that_says_nothing_new_is_given_up_by_name(clock, monkeypatch):
    peers = three(monkeypatch)
    peers._exchange()
    for number in range(2, 15):
        clock[0] += 2.0
        beat(peers, 0, number)
        peers._exchange()
        silent = 2.0 * (number - 1)
        assert (peers.trouble() is None) == (silent <= 25.0)
    assert peers.trouble().startswith(
        "process 2 of 3 (pid 7 on h) has given no sign of life for 26 s"
    )


def test_a_process_is_given_up_here_before_jax_ends_all():
    # The last that JAX heard of it may be half of that time old.
    longest = peers_module.SILENCE_SECONDS + 2 * peers_module._BEAT_SECONDS
    assert longest < 0.8 * processes.HEARTBEAT_SECONDS / 2


def test_a_process_that_left_is_not_missed(clock, monkeypatch):
    peers = three(monkeypatch)
    beat(peers, 2, 2, left=True)
    for number in range(2, 30):
        clock[0] += 2.0
        beat(peers, 0, number)
        peers._exchange()
    assert peers.trouble() is None


def test_a_coordinator_that_does_not_answer_is_named_and_nobody_else(
    clock, monkeypatch
):
    peers = three(monkeypatch)
    peers._exchange()

    def refuse(*_):
        raise RuntimeError("UNAVAILABLE")

    peers._board.post = refuse
    clock[0] += 24.0
    peers._exchange()
    assert peers.trouble() is None
    clock[0] += 2.0
    peers._exchange()
    assert peers.trouble().startswith("process 0 of 3 (pid 7 on h), which coordinates")


def test_the_reason_that_a_process_gave_comes_first(clock, monkeypatch):
    peers = three(monkeypatch)
    peers._board.post("failed/2", "ValueError: no")
    peers._exchange()
    clock[0] += 100.0
    assert peers.trouble() == "process 2 of 3 (pid 7 on h) failed: ValueError: no"
    broken = RuntimeError("Gloo all-reduce failed: Connection reset by peer")
    assert peers.cause_of(broken) == peers.trouble()
    # Errors of this process's own are not blamed on others.
    assert peers.cause_of(ValueError("shapes differ")) is None


def test_who_has_begun_fewer_steps_holds_the_others_up(clock, monkeypatch):
    peers = three(monkeypatch)
    peers.steps = 9
    beat(peers, 0, 2, steps=9)
    beat(peers, 2, 2, steps=7)
    peers._exchange()
    assert peers.laggards() == [2]
    assert peers.busy("training") is None
    beat(peers, 0, 3, steps=9, doing="evaluating")
    peers._exchange()
    assert peers.busy("training") == "process 0 of 3 (pid 7 on h) is evaluating"


def test_a_stuck_step_is_reported_once_and_slow_ones_are_not(caplog, capfd):
    with caplog.at_level(logging.WARNING), Watchdog(0.2) as watchdog:
        for _ in range(6):
            watchdog.step()
            time.sleep(0.06)  # so that 20 times the longest is well above 1 s
        time.sleep(0.7)
        assert not caplog.messages
        watchdog._longest = 0.0
        time.sleep(1.2)
        (message,) = caplog.messages
    assert message.startswith("no progress for ") and "while training" in message
    # Where it is stuck: this very test.
    assert "test_a_stuck_step_is_reported_once" in capfd.readouterr().err


def test_other_work_may_take_longer(caplog):
    with caplog.at_level(logging.WARNING), Watchdog(0.05) as watchdog:
        for _ in range(5):
            watchdog.step()
        watchdog.begin("saving", patience=60.0)
        time.sleep(1.1)
    assert not caplog.messages
