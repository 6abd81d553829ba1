import errno
import hashlib
import os
import shutil
import socket
import stat
import time
from types import SimpleNamespace

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import web
from stylegan_jax.io.download import download
from stylegan_jax.io.web import UnavailableError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def fetch(site, path, **kwargs):
    download(site.url, path, **{"max_bytes": 1 << 30, **kwargs})


def ranges(site):
    return [wanted for _, wanted in site.requests]


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_file_arrives_whole_with_the_usual_mode_and_nothing_beside_it(site, path):
    digest = hashlib.sha256(site.content).hexdigest()
    mask = os.umask(0o027)
    try:
        fetch(site, path, size=len(site.content), sha256=digest)
    finally:
        os.umask(mask)
    assert path.read_bytes() == site.content
    assert names(path.parent) == ["file.bin"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert site.requests == [("/file.bin", None)]


def test_after_a_cut_only_the_rest_is_asked_for(site, path):
    site.cuts = [1000, 2000]
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert ranges(site) == [None, "bytes=1000-", "bytes=3000-"]


def test_a_later_call_continues_an_earlier_one(site, path):
    site.cuts = [1000, 0, 0, 0, 0]
    with pytest.raises(UnavailableError, match=r"cut after 0\.0 MB.*\(5 attempts\)"):
        fetch(site, path)
    assert not path.exists()
    site.requests.clear()
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert ranges(site) == ["bytes=1000-"]


def test_a_call_that_ended_before_the_renaming_asks_for_nothing(
    site, path, monkeypatch
):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            # The information about the part is written by a renaming, too.
            patch.setattr(
                "stylegan_jax.io.download.atomic_write",
                lambda path, text: path.write_text(text),
            )
            fetch(site, path)
    site.requests.clear()
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert site.requests == []


def test_attempts_that_get_on_do_not_count(site, path):
    site.content = os.urandom(9 << 20)
    site.cuts = [1 << 20] * 7
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert len(site.requests) == 8


def test_a_server_without_ranges_is_asked_for_everything_again(site, path):
    site.ranges, site.cuts = False, [1000]
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert ranges(site) == [None, "bytes=1000-"]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}], ids=["none", "weak"])
def test_without_a_strong_validator_nothing_is_continued(headers, site, path):
    site.headers, site.cuts = headers, [1000]
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert ranges(site) == [None, None]


def test_a_date_will_do_as_a_validator(site, path):
    date = "Tue, 05 Feb 2019 10:00:00 GMT"
    site.headers, site.cuts = {"ETag": 'W/"1"', "Last-Modified": date}, [1000]
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert ranges(site) == [None, "bytes=1000-"]


def changed(site):
    site.content = site.content[::-1] + b"more"
    site.headers = {"ETag": '"2"'}


def test_a_file_that_changed_between_the_parts_is_fetched_anew(site, path):
    site.cuts = [1000, 0, 0, 0, 0]
    with pytest.raises(UnavailableError):
        fetch(site, path)
    changed(site)
    fetch(site, path)
    assert path.read_bytes() == site.content


@pytest.mark.parametrize("answer", ["etag", "start", "total", "416"])
def test_a_rest_of_another_file_is_not_appended(answer, site, path):
    site.cuts = [1000, 0, 0, 0, 0]
    with pytest.raises(UnavailableError):
        fetch(site, path)
    size = len(site.content)
    changed(site)
    start, total = {"start": (999, size), "total": (1000, size + 4)}.get(
        answer, (1000, size)
    )
    headers = {"Content-Range": f"bytes {start}-{total - 1}/{total}"}
    if answer == "etag":
        headers |= site.headers
    site.answers = [
        (416, {}, b"") if answer == "416" else (206, headers, site.content[start:total])
    ]
    site.requests.clear()
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert ranges(site) == ["bytes=1000-", None]


def test_a_part_of_another_address_or_without_information_is_no_part(site, path):
    for info in (
        None,
        "{",
        '{"url": "https://elsewhere/", "validator": "\\"1\\"", "total": null}',
        f'{{"url": "{site.url}", "validator": "\\"1\\"", "total": 6}}',
    ):
        part = path.with_name("file.bin.part")
        part.write_bytes(b"rubbish")
        if info is not None:
            path.with_name("file.bin.part.json").write_text(info)
        fetch(site, path)
        assert path.read_bytes() == site.content
    assert ranges(site) == [None] * 4


def test_a_stalled_connection_is_given_up_and_continued(site, path, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    site.cuts, site.hold = [1000], 20.0
    start = time.monotonic()
    fetch(site, path)
    assert time.monotonic() - start < 10
    assert path.read_bytes() == site.content
    assert ranges(site) == [None, "bytes=1000-"]


# --- What is wrong is refused ------------------------------------------------------


def test_a_file_with_another_checksum_is_removed(site, path):
    right = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(UserError, match=f"SHA-256.*{right}; removed") as caught:
        fetch(site, path, sha256=right)
    assert names(path.parent) == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("says_length", [True, False])
@pytest.mark.parametrize("offset", [-1, 1])
def test_a_file_of_another_size_is_refused(offset, says_length, site, path):
    site.says_length = says_length
    size = len(site.content) + offset
    with pytest.raises(UserError, match="the file there has" * says_length + ".*bytes"):
        fetch(site, path, size=size)
    assert names(path.parent) == []
    assert len(site.requests) == 1


@pytest.mark.parametrize("says_length", [True, False])
def test_no_more_is_accepted_than_allowed(says_length, site, path):
    site.says_length = says_length
    with pytest.raises(UnavailableError, match="more than"):
        fetch(site, path, max_bytes=len(site.content) - 1)
    assert names(path.parent) == []
    fetch(site, path, max_bytes=len(site.content))
    assert path.read_bytes() == site.content


@pytest.mark.parametrize(
    ("status", "says", "count"),
    [
        (404, "no such file", 1),
        (410, "no such file", 1),
        (403, "refused", 1),
        (401, "refused", 1),
        (500, "500", 5),
        (503, "503", 5),
        (429, "429", 5),
    ],
)
def test_a_server_that_refuses_is_asked_again_only_if_that_may_help(
    status, says, count, site, path
):
    site.answers = [(status, {}, b"")] * 20
    with pytest.raises(UnavailableError, match=says):
        fetch(site, path)
    assert len(site.requests) == count


def test_a_server_that_recovers_gives_the_file(site, path):
    site.answers = [(500, {}, b""), (503, {}, b"")]
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert len(site.requests) == 3


def test_offline_is_said_at_once_with_the_address(path, site):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.bin"
    with pytest.raises(UnavailableError, match=rf"{url} cannot be reached") as caught:
        download(url, path, max_bytes=1)
    assert "attempts" not in str(caught.value)


def test_a_full_disk_is_noticed_before_it_is_full(site, path, monkeypatch):
    free = SimpleNamespace(free=50_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(UserError, match=r"has 50\.0 MB free.* needs 67\.1 MB"):
        fetch(site, path)
    assert names(path.parent) == []


def test_a_disk_that_fills_up_keeps_the_part_to_continue(site, path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("stylegan_jax.io.download.os.fsync", full)
        patch.setattr(
            "stylegan_jax.io.download.atomic_write",
            lambda path, text: path.write_text(text),
        )
        with pytest.raises(UserError, match=r"No space left.*make room"):
            fetch(site, path)
    fetch(site, path)
    assert path.read_bytes() == site.content
    assert len(site.requests) == 1


def test_a_folder_that_does_not_take_files_is_named(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"file\.bin.* cannot be written \(Not a directory"
    ):
        fetch(site, tmp_path / "file" / "file.bin")


# --- What people see ---------------------------------------------------------------


def test_without_a_terminal_progress_is_plain_lines(site, path, capsys):
    fetch(site, path)
    assert capsys.readouterr().err.splitlines() == [
        "file.bin: 0.0 MB of 0.0 MB",
        "file.bin: 0.0 MB of 0.0 MB",
    ]


def test_on_a_terminal_progress_is_a_bar(site, path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    fetch(site, path)
    drawn = capsys.readouterr().err
    assert "\x1b[" in drawn and "10.2/10.2 kB" in drawn
