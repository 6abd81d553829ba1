"""The minibatch defines the result, not who computes it."""

import json
import shutil

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


@pytest.mark.parametrize(
    ("processes", "devices"), [(2, 2), pytest.param(4, 1, marks=pytest.mark.slow)]
)
def test_processes_and_devices_share_out_the_same_minibatch(
    server, faces, tmp_path, one_by_four, processes, devices
):
    run = tmp_path / "run"
    job = server.train([faces, "--workdir", run], processes=processes, devices=devices)
    finished(job)
    assert_same_run(one_by_four, run)
    # Metrics are those of the whole minibatch; one process writes and speaks.
    keys = {"nimg", "loss/D", "loss/G", "r1", "scores/real", "scores/fake"}
    keys |= {f"overfitting/{x}" for x in ("train", "held_out", "fake")}
    assert keys <= set().union(*lines(run))
    for ours, theirs in zip(lines(run), lines(one_by_four), strict=True):
        for key in keys & theirs.keys():
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-4, err_msg=key)
    assert "run directory" in job[0].output()
    assert "kimg" not in job[1].output()


@pytest.mark.slow
def test_a_state_that_is_shared_out_gives_the_same_run(server, ring, tmp_path):
    one, four, shared = (tmp_path / name for name in ("one", "four", "shared"))
    words = [ring, "--schedule.total-kimg", 0.08, "--workdir"]
    finished(server.train([*words, one]))
    finished(server.train([*words, four], processes=4))
    assert_same_run(one, four)
    words = [ring, "--run.shard-state", "--workdir", shared, "--schedule.total-kimg"]
    for kimg in (0.04, 0.08):  # from a checkpoint, too
        finished(server.train([*words, kimg], processes=2, devices=2))
    assert_same_run(one, shared)


@pytest.mark.parametrize(
    ("recipe", "half_nimg"),
    [("ring", 80), pytest.param("faces", 48, marks=pytest.mark.slow)],
)
def test_a_run_continues_on_other_numbers_of_processes_and_devices(
    server, tmp_path, request, recipe, half_nimg
):
    whole, half = tmp_path / "whole", tmp_path / "half"
    words = [request.getfixturevalue(recipe), "--schedule.total-kimg"]
    half_kimg, kimg = half_nimg / 1000, 2 * half_nimg / 1000
    finished(server.train([*words, kimg, "--workdir", whole]))
    job = server.train([*words, half_kimg, "--workdir", half], processes=2, devices=2)
    finished(job)
    assert contents(half)[0] == half_nimg
    shutil.copytree(half, tmp_path / "1x1")
    for run, devices in ((tmp_path / "1x1", 1), (half, 4)):
        finished(server.train([*words, kimg, "--workdir", run], devices=devices))
        assert_same_run(whole, run)


def test_different_commands_are_noticed_by_all(server, ring, tmp_path):
    run = tmp_path / "run"
    job = server.train([ring, "--workdir", run], processes=2, odd=["--run.seed", 1])
    for process in job:
        assert process.wait() == 2, process.output()
        differ = "error: configuration and data differ between process 0 and 1 of 2"
        assert differ in process.output()
    assert not run.exists()


@pytest.mark.slow
def test_slurm_tells_processes_of_each_other(server, ring, tmp_path):
    run = tmp_path / "run"
    words = [ring, "--workdir", run, "--schedule.total-kimg", 0.04]
    finished(server.train(words, processes=2, slurm=True))
    record = json.loads((run / "provenance.json").read_text())[0]
    assert len(record["devices"]) == 2
