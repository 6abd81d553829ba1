"""The cache: its folder, its locks, its checksums."""

import threading
from pathlib import Path

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import cache

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("ours", "xdg", "folder"),
    [
        ("/a", "/b", "/a/networks"),
        ("", "/b", "/b/stylegan_jax/networks"),
        ("", "", "/home/me/.cache/stylegan_jax/networks"),
        ("", "relative", "/home/me/.cache/stylegan_jax/networks"),
        ("~/a", "", "/home/me/a/networks"),
    ],
)
def test_the_folder_is_ours_or_that_of_the_xdg_specification(
    ours, xdg, folder, monkeypatch
):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", ours)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert cache.folder("networks") == Path(folder)


def test_records_are_what_sha256sum_reads(tmp_path):
    path = tmp_path / "empty.bin"
    path.write_bytes(b"")
    assert cache.recorded(path) is None
    assert cache.sha256(path) == EMPTY
    cache.record(path, EMPTY)
    assert cache.recorded(path) == EMPTY
    written = (tmp_path / "empty.bin.sha256").read_text()
    assert written == f"{EMPTY}  empty.bin\n"
    for damaged in ("", "hello", EMPTY[:-1], "\udcff".join(["", ""])):
        (tmp_path / "empty.bin.sha256").write_bytes(damaged.encode("utf-8", "replace"))
        assert cache.recorded(path) is None
    cache.forget(path)
    cache.forget(path)
    assert cache.recorded(path) is None


def test_who_comes_second_waits_and_says_so(tmp_path, caplog):
    path = tmp_path / "new" / "file.bin"
    order = []

    def second():
        with cache.exclusive(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with cache.exclusive(path):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"] and not list(path.parent.iterdir())
    (message,) = caplog.messages
    assert message.startswith("waiting: process ") and str(path) in message


def test_a_folder_that_cannot_be_made_names_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot be written to.*STYLEGAN_JAX_CACHE"),
        cache.exclusive(tmp_path / "file" / "x"),
    ):
        pass
