"""The minibatch defines the result, not who computes it."""

import json

import numpy as np
import pytest

from tests.distributed.jobs import contents, finished


def assert_same_run(one, other, atol=1e-5):
    (nimg, expected), (other_nimg, found) = contents(one), contents(other)
    assert nimg == other_nimg and expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=atol)


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def one_by_four(server, faces, tmp_path_factory):
    """A run on one process with four devices."""
    workdir = tmp_path_factory.mktemp("runs") / "1x4"
    finished(server.train([faces, "--workdir", workdir], devices=4))
    return workdir


@pytest.mark.parametrize(("processes", "devices"), [(2, 2), (4, 1)])
def test_processes_and_devices_share_out_the_same_minibatch(
    server, faces, tmp_path, one_by_four, processes, devices
):
    run = tmp_path / "run"
    job = server.train([faces, "--workdir", run], processes=processes, devices=devices)
    finished(job)
    assert_same_run(one_by_four, run)
    # Metrics are those of the whole minibatch; one process writes and speaks.
    keys = ("nimg", "loss/D", "loss/G", "r1", "scores/real", "scores/fake")
    for ours, theirs in zip(lines(run), lines(one_by_four), strict=True):
        for key in keys:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-4, err_msg=key)
    assert "run directory" in job[0].output()
    assert "kimg" not in job[1].output()


def test_a_state_that_is_shared_out_gives_the_same_run(
    server, faces, tmp_path, one_by_four
):
    run = tmp_path / "run"
    words = [faces, "--workdir", run, "--run.shard-state"]
    finished(server.train(words, processes=2, devices=2))
    assert_same_run(one_by_four, run)


def test_a_run_continues_on_other_numbers_of_processes_and_devices(
    server, ring, tmp_path
):
    whole = tmp_path / "whole"
    finished(server.train([ring, "--workdir", whole]))
    for processes, devices in ((1, 1), (1, 4)):
        run = tmp_path / f"{processes}x{devices}"
        words = [ring, "--workdir", run]
        half = [*words, "--schedule.total-kimg", 0.4]
        finished(server.train(half, processes=2, devices=2))
        assert contents(run)[0] == 400
        finished(server.train(words, processes=processes, devices=devices))
        assert_same_run(whole, run)


def test_different_commands_are_noticed(server, ring, tmp_path):
    run = tmp_path / "run"
    job = server.train([ring, "--workdir", run], processes=2, odd=["--run.seed", 1])
    for process in job:
        assert process.wait() == 2, process.output()
    assert "configuration and data differ between process 0 and 1" in job[0].output()
