"""Damaged checkpoints: noticed, set aside, and never restored."""

import shutil
from pathlib import Path

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.runs import stored
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from tests.runs.small_state import (
    assert_bitwise_equal,
    data_files,
    empty,
    flip_array_bit,
    template_of,
    truncate,
    two_checkpoints,
)


def test_a_flipped_bit_in_any_file_is_noticed(tmp_path):
    _, _, step = two_checkpoints(tmp_path)
    names = data_files(step)
    assert len(names) >= 6
    for i in range(108):  # every file several times, anywhere in it
        path = step / names[i % len(names)]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[(i * 7919) % len(bad)] ^= 1 << i % 8
        path.write_bytes(bad)
        with pytest.raises(stored.UnreadableCheckpoint):
            stored.read_step(2000, step)
        path.write_bytes(good)
    stored.read_step(2000, step)


def test_without_checksums_of_files_a_flipped_bit_never_restores_wrong_numbers(
    tmp_path, caplog
):
    old, new, _ = two_checkpoints(tmp_path / "good")
    template = template_of(old)
    step = Path("checkpoints") / "nimg_000002000"
    (tmp_path / "good" / step / "checksums.json").unlink()
    fallbacks = 0
    for i, name in enumerate(data_files(tmp_path / "good" / step)):
        run = tmp_path / str(i)
        shutil.copytree(tmp_path / "good", run)
        content = bytearray((run / step / name).read_bytes())
        for position in {len(content) // 3, len(content) // 2}:
            content[position] ^= 0x10
        (run / step / name).write_bytes(content)
        with Checkpoints(run, CheckpointConfig()) as checkpoints:
            restored = checkpoints.restore_latest(template)
        assert restored.nimg in (1000, 2000)
        assert_bitwise_equal(restored.state, old if restored.nimg == 1000 else new)
        if restored.nimg == 1000:
            fallbacks += 1
            assert "nimg_000002000" in caplog.messages[-1]
    assert fallbacks >= 3  # arrays, their index, and our record at the least


DAMAGE = {
    "flipped": flip_array_bit,
    "truncated": truncate,
    "empty": empty,
    "no record": lambda step: shutil.rmtree(step / "meta"),
    "no state": lambda step: shutil.rmtree(step / "state"),
    "no manifest": lambda step: (step / "state" / "manifest.ocdbt").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_newest_checkpoint_is_told_set_aside_and_replaced(
    tmp_path, damage, caplog
):
    old, new, step = two_checkpoints(tmp_path)
    damage(step)
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        restored = checkpoints.restore_latest(template_of(old))
        assert restored.nimg == 1000
        assert_bitwise_equal(restored.state, old)
        assert "skipping checkpoint nimg_000002000: " in caplog.messages[-1]
        checkpoints.save(2000, new)  # the same count is reached again
        again = checkpoints.restore_latest(template_of(new))
    assert again.nimg == 2000
    assert_bitwise_equal(again.state, new)


def test_a_run_whose_checkpoints_are_all_damaged_does_not_silently_start_afresh(
    tmp_path,
):
    old, _, step = two_checkpoints(tmp_path)
    empty(step)
    empty(step.with_name("nimg_000001000"))
    with (
        Checkpoints(tmp_path, CheckpointConfig()) as checkpoints,
        pytest.raises(UserError, match="none of the 2 checkpoints"),
    ):
        checkpoints.restore_latest(template_of(old))
