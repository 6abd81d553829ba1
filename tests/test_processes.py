"""Joining a job; what needs several processes is in tests/distributed."""

import jax
import pytest

from stylegan_jax.distributed import parallel, processes
from stylegan_jax.errors import UserError


@pytest.mark.parametrize(
    "given",
    [
        {"coordinator": "host:1"},
        {"num_processes": 2, "process_id": 0},
        {"coordinator": "host:1", "process_id": 0},
    ],
)
def test_half_of_an_address_is_refused_with_the_way_out(given):
    with pytest.raises(UserError, match="go together; --distributed auto"):
        processes.join(**given)


def test_an_address_without_a_port_is_refused():
    with pytest.raises(UserError, match="host is not HOST:PORT"):
        processes.join(coordinator="host", num_processes=2, process_id=0)


def test_what_jax_says_becomes_a_sentence_with_the_way_out(monkeypatch):
    def nothing(*_, **__):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", nothing)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    with pytest.raises(UserError, match=r"found no TPU pod.*--process-id"):
        processes.join(detect=True)


def test_one_process_is_always_of_one_mind():
    processes.join()
    assert processes.broadcast(b"abc") == b"abc"
    processes.require_same("anything", {"a": 1})
    ballot = processes.Ballot(parallel.make_mesh(2))
    assert [ballot.cast(n) for n in (0, 15, 2)] == [0, 15, 2]
    board = processes.Board()
    board.post("note", 1)
    assert board.read() == {}
