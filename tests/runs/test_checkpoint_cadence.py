"""When checkpoints are written and which are kept."""

import jax.numpy as jnp
import pytest

from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints


def test_the_newest_and_the_milestones_are_kept(tmp_path):
    config = CheckpointConfig(keep_last=2, keep_every_kimg=1.0)
    with Checkpoints(tmp_path, config) as checkpoints:
        for nimg in range(300, 3001, 300):
            checkpoints.save(nimg, {"a": jnp.ones(2)})
    kept = sorted(int(p.name[5:]) for p in (tmp_path / "checkpoints").iterdir())
    # The first at or after 1000 and 2000 and 3000, and the last two.
    assert kept == [1200, 2100, 2700, 3000]


def test_due_follows_the_cadence_also_after_a_restore(tmp_path):
    config = CheckpointConfig(every_kimg=1.0)
    with Checkpoints(tmp_path, config) as checkpoints:
        assert not checkpoints.due(999) and checkpoints.due(1000)
        checkpoints.save(1048, {"a": jnp.ones(2)})
        assert not checkpoints.due(1999) and checkpoints.due(2000)
    with Checkpoints(tmp_path, config) as checkpoints:
        checkpoints.restore_latest({"a": jnp.ones(2)})
        assert not checkpoints.due(1096) and checkpoints.due(2008)


@pytest.mark.parametrize(
    "wrong", [{"every_kimg": 0.0}, {"keep_last": 0}, {"keep_every_kimg": 0.0}]
)
def test_senseless_cadences_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CheckpointConfig(**wrong)
