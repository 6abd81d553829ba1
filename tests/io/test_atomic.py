"""Atomic writes: old content or new, usual permissions, errors that name the file."""

import errno
import os
import stat
import threading

import pytest

from stylegan_jax.io.atomic import atomic_write


def test_content_is_replaced_and_no_other_file_is_left(tmp_path):
    path = tmp_path / "new" / "file.txt"
    atomic_write(path, "old")
    atomic_write(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_write_that_fails_keeps_the_old_content_and_names_its_file(
    tmp_path, monkeypatch
):
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        atomic_write(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_threads_get_the_usual_permissions_and_leave_the_umask_alone(
    tmp_path, monkeypatch
):
    def changed(mask):
        raise AssertionError("the umask belongs to all threads")

    mask = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", changed)
        threads = [
            threading.Thread(target=atomic_write, args=(tmp_path / str(i), "x"))
            for i in range(8)
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        modes = {stat.S_IMODE(x.stat().st_mode) for x in tmp_path.iterdir()}
        assert len(list(tmp_path.iterdir())) == 8 and modes == {0o640}
    finally:
        monkeypatch.undo()
        os.umask(mask)
