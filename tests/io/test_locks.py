"""One process at a time, and who it is."""

import json
import os
import platform
import subprocess
import sys

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import locks

HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from stylegan_jax.io import locks\n"
    "with locks.held(Path(sys.argv[1]), 'the run'):\n"
    "    print('held', flush=True); time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_holds_it_and_since_when(tmp_path, holder):
    record = json.loads((tmp_path / ".lock").read_text())
    with pytest.raises(UserError) as caught, locks.held(tmp_path / ".lock", "the run"):
        raise AssertionError
    for part in (str(holder.pid), platform.node(), record["since"], "the run"):
        assert part in str(caught.value)
    assert json.loads((tmp_path / ".lock").read_text()) == record


def test_the_lock_of_a_dead_process_is_free_and_nothing_stays(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with locks.held(tmp_path / ".lock", "the run"):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
        with pytest.raises(UserError), locks.held(tmp_path / ".lock", "the run"):
            raise AssertionError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_a_mistake_of_the_users(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot be written to"),
        locks.held(tmp_path / "file" / ".lock", "it"),
    ):
        raise AssertionError
