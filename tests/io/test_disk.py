"""A full disk, one that may only be read, and the limit on the size of a file."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylegan_jax.errors import disk_trouble, place_trouble

# Saves 48 MB, of random numbers, in sixty arrays.
SAVE = """
import resource, sys
import jax.numpy as jnp, numpy as np
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
draw = np.random.default_rng(0).random
state = {f"a{i}": jnp.asarray(draw((200, 1000), np.float32)) for i in range(60)}
with Checkpoints(sys.argv[1], CheckpointConfig()) as checkpoints:
    checkpoints.save(1000, state)
    assert checkpoints.wait() is None
print("trained on")
"""
START = """
import sys
from stylegan_jax.commands import running
from stylegan_jax.runs import run_directory
from stylegan_jax.data.config import DataConfig
running.run_main(lambda: run_directory.start_run(sys.argv[1], DataConfig()))
"""


def python(program: str, *words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.thorough
@pytest.mark.parametrize("read_only", [False, True])
def test_a_start_where_nothing_can_be_written_is_one_sentence(
    read_only: bool, small_disk: Path
) -> None:
    if read_only:
        words = ["mount", "-o", "remount,ro", str(small_disk)]
        subprocess.run(words, check=True)
        message = "the disk may only be read"
    else:
        with open(small_disk / "fill", "wb") as file, pytest.raises(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        message = "no space left on the disk"
    done = python(START, small_disk / "run")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message} ({small_disk}/run")
    assert done.stderr.count("\n") == 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("limit", "reason"),
    [(0, "no space left on the disk"), (100_000, "a file may not grow that large")],
)
def test_a_checkpoint_that_does_not_fit_is_one_warning(
    request: pytest.FixtureRequest, tmp_path: Path, limit: int, reason: str
) -> None:
    folder = tmp_path if limit else request.getfixturevalue("small_disk")
    done = python(SAVE, folder, limit)
    assert done.returncode == 0 and done.stdout == "trained on\n"
    assert f"was not written ({reason}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x"), "no space left"),
        (OSError(errno.EDQUOT, "x"), "quota"),
        (OSError(errno.EFBIG, "x"), "ulimit -f"),
        (OSError(errno.EROFS, "x"), "only be read"),
        (ValueError("RESOURCE_EXHAUSTED: ... No space left on device"), "no space"),
        (ValueError("Failed to write [os_error_code='27']"), "ulimit -f"),
        (ValueError("Failed to write [os_error_code='122']"), "quota"),
        (ValueError("a shape"), None),
        (OSError("no number"), None),
        (FileNotFoundError(errno.ENOENT, "x"), None),
    ],
)
def test_trouble_of_the_disk_is_told_apart(
    error: Exception, message: str | None
) -> None:
    found = disk_trouble(error)
    assert (found is None) if message is None else (message in (found or ""))
    assert place_trouble(FileNotFoundError(errno.ENOENT, "x"))
    assert place_trouble(ValueError("a shape")) is None
