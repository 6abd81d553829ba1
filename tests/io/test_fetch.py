"""Downloads: whole or continued, bounded, checked once; errors that say what to do."""

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
from stylegan_jax.io import fetch, web
from stylegan_jax.io.web import UnavailableError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def download(site, path, max_bytes=1 << 30):
    fetch.download(site.url, path, max_bytes=max_bytes)
    assert path.read_bytes() == site.content


def ranges(site):
    return [wanted for _, wanted in site.requests]


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_file_arrives_whole_with_the_usual_mode_and_nothing_beside_it(site, path):
    mask = os.umask(0o027)
    try:
        download(site, path)
    finally:
        os.umask(mask)
    assert names(path.parent) == ["file.bin"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert site.requests == [("/file.bin", None)]


# --- Continued ---------------------------------------------------------------------

DATE = "Tue, 05 Feb 2019 10:00:00 GMT"


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, [None, "bytes=1000-", "bytes=3000-"]),
        (
            {"headers": {"ETag": 'W/"1"', "Last-Modified": DATE}},
            [None, "bytes=1000-", "bytes=3000-"],
        ),
        ({"headers": {}}, [None] * 3),
        ({"headers": {"ETag": 'W/"1"'}}, [None] * 3),
        ({"ranges": False}, [None, "bytes=1000-", "bytes=2000-"]),
    ],
    ids=["ETag", "date", "nothing", "weak ETag", "no ranges"],
)
def test_after_a_cut_the_rest_is_asked_for_if_it_is_surely_the_same(
    changes, asked, site, path
):
    vars(site).update(changes, cuts=[1000, 2000])
    download(site, path)
    assert ranges(site) == asked


def test_attempts_that_get_on_do_not_count(site, path):
    site.content = os.urandom(9 << 20)
    site.cuts = [1 << 20] * 7
    download(site, path)
    assert len(site.requests) == 8


@pytest.mark.parametrize("answer", [None, "etag", "start", "total", "416"])
def test_a_rest_of_another_file_is_not_appended(answer, site, path, monkeypatch):
    size = len(site.content)
    start, total = {"start": (999, size), "total": (1000, size + 4)}.get(
        answer, (1000, size)
    )

    def change(seconds):
        site.content = site.content[::-1] + b"more"
        site.headers = {"ETag": '"2"'}
        headers = {"Content-Range": f"bytes {start}-{total - 1}/{total}"}
        if answer == "etag":
            headers |= site.headers
        if answer == "416":
            site.answers = [(416, {}, b"")]
        elif answer is not None:
            site.answers = [(206, headers, site.content[start:total])]
        monkeypatch.undo()

    site.cuts = [1000]
    monkeypatch.setattr(fetch, "_DELAYS", (0.0,) * 4)
    monkeypatch.setattr(time, "sleep", change)
    download(site, path)
    expected = [None, "bytes=1000-", None]
    assert ranges(site) == expected[: 2 if answer is None else 3]


def test_a_stalled_connection_is_given_up_and_continued(site, path, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    site.cuts, site.hold = [1000], 20.0
    start = time.monotonic()
    download(site, path)
    assert time.monotonic() - start < 10
    assert ranges(site) == [None, "bytes=1000-"]


# --- Rejected ----------------------------------------------------------------------


@pytest.mark.parametrize("says_length", [True, False])
def test_no_more_is_accepted_than_allowed(says_length, site, path):
    site.says_length = says_length
    with pytest.raises(UnavailableError, match="more than"):
        download(site, path, len(site.content) - 1)
    assert names(path.parent) == []
    download(site, path, len(site.content))


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
        download(site, path)
    assert len(site.requests) == count
    site.answers = [(500, {}, b""), (503, {}, b"")]
    download(site, path)  # it recovered


def test_offline_is_said_at_once_with_the_address(path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.bin"
    with pytest.raises(UnavailableError, match=f"{url}: cannot be reached") as caught:
        fetch.download(url, path, max_bytes=1)
    assert "attempts" not in str(caught.value)


def test_a_full_disk_is_noticed_before_it_is_full(site, path, monkeypatch):
    free = SimpleNamespace(free=50_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(UserError, match=r"has 50\.0 MB free.* needs 67\.1 MB"):
        download(site, path)
    assert names(path.parent) == []


def test_a_disk_that_fills_up_is_said_and_nothing_stays(site, path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left.*make room"):
        download(site, path)
    assert names(path.parent) == []


def test_a_folder_that_does_not_take_files_is_named(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file\.bin.* cannot be written \(File exists"):
        download(site, tmp_path / "file" / "file.bin")


def test_a_download_is_logged_and_on_a_terminal_has_a_bar(
    site, tmp_path, capsys, caplog, monkeypatch
):
    caplog.set_level("INFO")
    download(site, tmp_path / "file.bin")
    assert caplog.messages == ["downloading file.bin, 0.0 MB"]
    assert not capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    download(site, tmp_path / "other.bin")
    drawn = capsys.readouterr().err
    assert "\x1b[" in drawn and "10.2/10.2 kB" in drawn


# --- In the cache ------------------------------------------------------------------


def fetched(site, path, **options):
    return fetch.fetch(
        path,
        [f"{site.url}?1", site.url],
        content="a file",
        max_bytes=1 << 20,
        notice="the licence",
        by_hand="copy it",
        **options,
    )


def test_a_file_is_fetched_once_and_its_licence_shown_once(site, path, caplog):
    digest = hashlib.sha256(site.content).hexdigest()
    site.answers = [(404, {}, b"")]
    for _ in range(2):
        assert fetched(site, path, sha256=digest[:8]) == path
    assert [asked for asked, _ in site.requests] == ["/file.bin?1", "/file.bin"]
    assert caplog.messages.count("the licence") == 1
    assert names(path.parent) == ["file.bin", "file.bin.sha256"]


def test_what_is_not_the_file_is_not_kept_and_the_users_own_is(site, path):
    def check(found):
        if b"0" not in found.read_bytes():
            raise UserError("no zero")

    with pytest.raises(UserError, match=r"not a file.*, not 123\.\.\.; removed, fetch"):
        fetched(site, path, sha256="123")
    site.content = b"1"
    with pytest.raises(UserError, match="no zero; removed, fetch it again"):
        fetched(site, path, check=check)
    assert not path.exists()
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="no zero; remove it to have it fetched again"):
        fetched(site, path, check=check)
    path.write_bytes(b"0")
    site.requests.clear()
    assert fetched(site, path, check=check).read_bytes() == b"0"
    path.write_bytes(b"00")  # it decayed
    with pytest.raises(UserError, match=r"not a file, or damaged: .*; remove it"):
        fetched(site, path)
    assert not site.requests


def test_what_cannot_be_had_says_why_and_what_to_do(site, path):
    site.answers = [(404, {}, b""), (403, {}, b"")]
    with pytest.raises(UserError, match=r"^a file cannot .*404.*403.*; copy it$"):
        fetched(site, path)


# --- Web pages ---------------------------------------------------------------------

HTML = {"Content-Type": "text/html; charset=utf-8"}
QUOTA = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title>
<style>.x{}</style></head><body><p class="uc-error-subcaption">Too many users have
viewed or downloaded this file recently.</p></body></html>"""


def opened(site):
    with web.open_file(site.url, {}) as response:
        return response.read()


def confirmation(action, fields=(), name="download-form"):
    inputs = "".join(f'<input type="hidden" name="{k}" value="{v}">' for k, v in fields)
    return (
        "<html><head><title>Google Drive - Virus scan warning</title></head><body>"
        f'<form id="{name}" action="{action}" method="get">'
        f'<input type="submit" value="Download anyway"/>{inputs}</form>'
        '<input name="search" value="no"></body></html>'
    ).encode()


@pytest.mark.parametrize("name", ["download-form", "downloadForm"])
def test_the_drive_confirmation_is_followed_with_all_its_fields(name, site):
    fields = {"id": "X_1", "confirm": "t", "uuid": "a&b"}
    page = confirmation("/uc?export=download&amp;id=0", fields.items(), name)
    site.answers = [(200, HTML, page), None]
    assert opened(site) == site.content
    asked = "/uc?export=download&id=X_1&confirm=t&uuid=a%26b"
    assert [path for path, _ in site.requests] == ["/file.bin", asked]


@pytest.mark.parametrize(
    ("answer", "message", "count"),
    [
        ((200, HTML, confirmation("/again")), "one page leads to another", 3),
        ((200, HTML, QUOTA), "quota exceeded", 1),
        ((403, HTML, QUOTA), "quota exceeded", 1),
        ((429, HTML, QUOTA), "quota exceeded", 1),
        ((200, HTML, QUOTA + confirmation("/again")), "quota exceeded", 1),
        ((302, {"Location": "/file.bin"}, b""), r"refused \(302 The HTTP", 11),
    ],
)
def test_pages_and_redirects_end_in_one_line(answer, message, count, site):
    site.answers = [answer] * 20
    with pytest.raises(UnavailableError, match=message) as caught:
        opened(site)
    assert "\n" not in str(caught.value) and len(site.requests) <= count


@pytest.mark.parametrize("headers", [HTML, {}], ids=["by type", "by content"])
def test_any_other_page_is_no_file(headers, site):
    page = b"\n<!doctype HTML><title>Sign in\n - \x1bAccounts</title>"
    page += b"<script>quota exceeded</script>\x80\xff" + b"<" * 1000
    site.answers = [(200, headers, page)]
    with pytest.raises(UnavailableError, match='page titled "Sign in - Accounts"'):
        opened(site)


def test_a_file_is_not_mistaken_for_a_page():
    assert not web.is_page("application/octet-stream", b"\x80\x03cdnnlib")
    assert not web.is_page("text/plain", b"<svg>")
    assert web.is_page("text/plain", b"\xef\xbb\xbf <!DOCTYPE html>")
    assert web.is_page("text/html", b"\x80\x03")


def test_redirects_are_followed(site):
    site.answers = [(302, {"Location": "/other"}, b""), None]
    assert opened(site) == site.content
    assert [path for path, _ in site.requests] == ["/file.bin", "/other"]


@pytest.mark.parametrize(
    "target", ["http://example.com/f", "ftp://127.0.0.1/f", "file:///etc/hosts"]
)
def test_neither_redirects_nor_pages_lead_out_of_https(target, site):
    site.answers = [(302, {"Location": target}, b"")]
    with pytest.raises(UnavailableError, match="refused"):
        opened(site)
    site.answers = [(200, HTML, confirmation(target))]
    with pytest.raises(UnavailableError, match=r"leads to .*only https is fetched"):
        opened(site)
    assert len(site.requests) == 2


@pytest.mark.parametrize(
    ("url", "origin", "allowed"),
    [
        ("https://example.com/f", None, True),
        ("https://example.com/f", "http://localhost/f", True),
        ("http://localhost:8/f", None, True),
        ("http://[::1]/f", "http://127.0.0.1/f", True),
        ("http://127.0.0.1/f", "https://example.com/f", False),
        ("http://127.0.0.1.example.com/f", None, False),
        ("http://example.com/f", None, False),
        ("https:///f", None, False),
        ("file:///etc/hosts", None, False),
    ],
)
def test_https_and_this_machine_are_all_that_is_fetched_from(url, origin, allowed):
    if allowed:
        web.check_url(url, origin)
    else:
        with pytest.raises(UnavailableError, match="only https"):
            web.check_url(url, origin)
