"""Going back to a healthy checkpoint, with another seed."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import AgreedError
from stylegan_jax.training import recovery
from stylegan_jax.training.health import HealthConfig, Monitor, Unhealthy
from stylegan_jax.training.report import NonFiniteError, Report
from tests import tiny

pytestmark = pytest.mark.usefixtures("compiled_once")
CONFIG = tiny.ring(0.08, health=HealthConfig(rollbacks=1))


def train(workdir, config=CONFIG):
    state = recovery.train(config, workdir, mesh=parallel.make_mesh(1))
    return jax.tree.leaves(jax.device_get(state))


def names(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


@pytest.fixture
def trouble(monkeypatch):
    """Makes ticks at the image counts in the returned list fail, each once."""
    counts = []
    plain = Report.flush

    def flush(self, nimg, *options):
        means = plain(self, nimg, *options)
        if nimg in counts:
            counts.remove(nimg)
            raise NonFiniteError(f"loss/G not finite at {nimg}")
        return means

    monkeypatch.setattr(Report, "flush", flush)
    return counts


@pytest.mark.thorough
def test_a_run_goes_back_and_takes_another_way(tmp_path, trouble, caplog):
    straight = train(tmp_path / "straight")
    trouble.append(48)
    rescued = train(tmp_path / "rescued")
    (record,) = json.loads((tmp_path / "rescued" / "rollbacks.json").read_text())
    assert record == {"to_nimg": 32, "because": "loss/G not finite at 48"}
    assert "going back to 0.032 kimg with another seed" in caplog.text
    assert int(rescued[-1].size) and names(tmp_path / "rescued") == names(
        tmp_path / "straight"
    )
    pairs = list(zip(straight, rescued, strict=True))
    assert not all(np.array_equal(a, b) for a, b in pairs)

    # Stopped and continued after the rollback, it is the same run, bit by bit.
    trouble.append(48)
    schedule = dataclasses.replace(CONFIG.schedule, total_kimg=0.064)
    train(tmp_path / "again", dataclasses.replace(CONFIG, schedule=schedule))
    again = train(tmp_path / "again")
    for a, b in zip(rescued, again, strict=True):
        assert a.tobytes() == b.tobytes()


def test_checkpoints_of_an_unhealthy_time_are_set_aside(tmp_path, monkeypatch):
    reports = [48]

    def observe(self, nimg, metrics, diversity=None):
        if nimg in reports:
            reports.remove(nimg)
            return Unhealthy("R1 explodes", healthy_nimg=20)
        return None

    monkeypatch.setattr(Monitor, "observe", observe)
    train(tmp_path)
    (record,) = json.loads((tmp_path / "rollbacks.json").read_text())
    assert record["to_nimg"] == 16
    found = names(tmp_path)
    assert "unhealthy_nimg_000000032" in found and "nimg_000000032" in found


def test_without_rollbacks_left_symptoms_are_told_and_nan_ends_the_run(
    tmp_path, trouble, monkeypatch, caplog
):
    report = Unhealthy("R1 explodes", healthy_nimg=0)
    monkeypatch.setattr(
        Monitor, "observe", lambda _, nimg, *__: report if nimg == 16 else None
    )
    config = dataclasses.replace(CONFIG, health=HealthConfig())
    trouble.append(48)
    with pytest.raises(NonFiniteError):
        train(tmp_path, config)
    assert "R1 explodes" in caplog.messages
    assert not (tmp_path / "rollbacks.json").exists()


@pytest.mark.parametrize("process", [0, 1])
def test_without_a_healthy_checkpoint_all_processes_end_alike(
    tmp_path, monkeypatch, process
):
    """Process 0 sees that there is none; the others hear of it and do not wait."""

    def lost(*_, **__):
        raise Unhealthy("R1 explodes", healthy_nimg=0)

    refusal = b"R1 explodes; there is no checkpoint from before it to go back to"
    heard = [b"0", refusal]  # by another process, in this order

    def broadcast(content):
        said = heard.pop(0)
        assert process or content.startswith(said)
        return said if process else content

    monkeypatch.setattr(recovery.loop, "train", lost)
    monkeypatch.setattr(recovery.processes, "broadcast", broadcast)
    monkeypatch.setattr(recovery.jax, "process_index", lambda: process)
    with pytest.raises(AgreedError, match="no checkpoint from before it"):
        recovery.train(CONFIG, tmp_path)
    assert not heard
