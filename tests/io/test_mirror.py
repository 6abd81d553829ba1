"""A bucket in memory, or a folder in the place of one."""

import logging
import os
import shutil
import time
from pathlib import Path

import fsspec
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import mirror
from stylegan_jax.io.mirror import as_url, is_remote

BUCKET = fsspec.filesystem("memory")
URL = "memory://bucket/run"


@pytest.fixture(autouse=True)
def nothing_yet(monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirror, "_PAUSE_SECONDS", 0.0)
    yield
    if BUCKET.exists("/bucket"):
        BUCKET.rm("/bucket", recursive=True)


def write(folder, name, content=b"x"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_checkpoint(folder, nimg, content=b"x", *, sealed=True):
    write(folder, f"checkpoints/nimg_{nimg:09d}/state/d/0", content)
    if sealed:
        write(folder, f"checkpoints/nimg_{nimg:09d}/checksums.json", b"{}")


def there():
    return {path.removeprefix("/bucket/run/") for path in BUCKET.find("/bucket/run")}


def names(nimg):
    folder = f"checkpoints/nimg_{nimg:09d}"
    return {f"{folder}/state/d/0", f"{folder}/checksums.json"}


def test_a_run_comes_back_on_a_machine_that_has_never_seen_it():
    with mirror.mirrored(URL) as folder:
        write(folder, "config.json", b"{}")
        write(folder, "samples/a.png")
        write_checkpoint(folder, 10, b"ten")
    assert there() == {"config.json", "samples/a.png", *names(10)}
    shutil.rmtree(folder.parent)
    with mirror.mirrored(URL) as folder:
        read = (folder / "checkpoints/nimg_000000010/state/d/0").read_bytes()
        assert read == b"ten" and not (folder / "samples").exists()
    assert there() == {"config.json", "samples/a.png", *names(10)}


def test_only_whole_checkpoints_are_copied_and_removed_ones_are_removed():
    with mirror.mirrored(URL) as folder:
        write_checkpoint(folder, 10)
    with mirror.mirrored(URL) as folder:
        shutil.rmtree(folder / "checkpoints/nimg_000000010")
        write_checkpoint(folder, 20)
        write_checkpoint(folder, 30, sealed=False)
        write(folder, "checkpoints/nimg_40.orbax-checkpoint-tmp-1/state/d/0")
        write(folder, "checkpoints/.best.json.abc")
    assert there() == names(20)


def test_checkpoints_without_a_seal_come_back_and_stay_until_they_are_set_aside():
    # Of an older version, or half copied: who restores them finds out.
    with mirror.mirrored(URL) as folder:
        write_checkpoint(folder, 10)
        write_checkpoint(folder, 20)
    BUCKET.rm_file("/bucket/run/checkpoints/nimg_000000020/checksums.json")
    unsealed = names(20) - {"checkpoints/nimg_000000020/checksums.json"}
    shutil.rmtree(folder)
    with mirror.mirrored(URL) as folder:
        checkpoint = folder / "checkpoints/nimg_000000020"
        assert (checkpoint / "state/d/0").exists()
    assert there() == names(10) | unsealed
    with mirror.mirrored(URL) as folder:
        checkpoint.rename(checkpoint.with_name("unreadable_nimg_000000020"))
    assert there() == names(10)


def test_the_parts_of_a_checkpoint_are_there_before_what_makes_it_count(monkeypatch):
    order = []
    put = type(BUCKET).put_file
    monkeypatch.setattr(
        type(BUCKET),
        "put_file",
        lambda self, path, to: (
            order.append(to.rsplit("/", 1)[1]),
            put(self, path, to),
        ),
    )
    with mirror.mirrored(URL) as folder:
        write(folder, "checkpoints/best.json")
        write_checkpoint(folder, 10)
        write(folder, "config.json")
    assert order == ["config.json", "0", "checksums.json", "best.json"]


def test_news_are_copied_in_the_meantime_and_trouble_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr(mirror, "EVERY_SECONDS", 0.01)

    def refuse(*_):
        raise OSError("no route to host")

    with mirror.mirrored(URL) as folder:
        write(folder, "metrics.jsonl", b"1")
        wait_for(lambda: there() == {"metrics.jsonl"})
        with monkeypatch.context() as trouble, caplog.at_level(logging.WARNING):
            trouble.setattr(type(BUCKET), "put_file", refuse)
            write(folder, "metrics.jsonl", b"12")
            wait_for(lambda: caplog.messages)
            time.sleep(0.1)
        wait_for(lambda: BUCKET.cat_file("/bucket/run/metrics.jsonl") == b"12")
    (message,) = caplog.messages
    assert "training goes on" in message and "no route to host" in message


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_could_not_be_copied_is_not_lost(monkeypatch, caplog):
    def refuse(*_):
        raise OSError("no route to host")

    with monkeypatch.context() as trouble:
        trouble.setattr(type(BUCKET), "put_file", refuse)
        with (
            pytest.raises(UserError, match=r"no route to host.*the run is whole in"),
            mirror.mirrored(URL) as folder,
        ):
            write_checkpoint(folder, 10)
    with caplog.at_level(logging.WARNING), mirror.mirrored(URL) as folder:
        assert os.listdir(folder) == []
    aside = folder.with_name(f"{folder.name}_unsent")
    assert (aside / "checkpoints/nimg_000000010/state/d/0").exists()
    assert f"it is now in {aside}" in caplog.text


def test_an_error_of_training_comes_out_after_a_last_copy():
    with pytest.raises(ZeroDivisionError), mirror.mirrored(URL) as folder:
        write(folder, "config.json", b"{}")
        with (
            pytest.raises(UserError, match=rf"process \d+ on .* works on {URL}"),
            mirror.mirrored(URL),
        ):
            pass
        raise ZeroDivisionError
    assert there() == {"config.json"}


def test_objects_cannot_leave_the_folder():
    BUCKET.pipe_file("/bucket/run/../../evil", b"")
    if BUCKET.store.keys() & {"/evil", "/bucket/run/evil"}:
        pytest.skip("this fsspec resolves such names itself")
    try:
        with pytest.raises(UserError, match="an object called"), mirror.mirrored(URL):
            pass
    finally:
        BUCKET.store.clear()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gs://bucket/run", r"pip install 'stylegan_jax\[gcs\]'"),
        ("s3://bucket/run", r"pip install 'stylegan_jax\[s3\]'"),
        ("nonsense://bucket/run", "cannot be used .*nonsense"),
        ("https://example.com/run", "is no bucket"),
        ("file:///proc/run", "cannot be used"),
    ],
)
def test_what_is_missing_is_said(monkeypatch, url, says):
    # As if the libraries were not there, wherever this runs.
    for module in ("gcsfs", "s3fs"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UserError, match=says), mirror.mirrored(url):
        pass


def test_folders_are_left_alone_and_paths_become_the_urls_they_were(tmp_path):
    with mirror.mirrored(str(tmp_path / "run")) as folder:
        assert folder == tmp_path / "run" and not folder.exists()
    assert not is_remote("runs/a:b") and not is_remote("C:/runs")
    for url in ("gs://bucket/a/b", "file:///bucket/a/b"):
        assert as_url(Path(url)) == as_url(f"{url}/") == url


def test_a_run_is_fetched_for_reading_with_its_newest_checkpoint_only(monkeypatch):
    with mirror.mirrored(URL) as folder:
        write(folder, "config.json", b"{}")
        write(folder, "checkpoints/best.json", b'{"checkpoint": "nimg_000000010"}')
        for nimg in (10, 20):
            write_checkpoint(folder, nimg, str(nimg).encode())
        write_checkpoint(folder, 30)
    BUCKET.rm_file("/bucket/run/checkpoints/nimg_000000030/checksums.json")
    mirror.fetched.cache_clear()
    run = mirror.fetched(URL)
    assert run != folder
    found = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert found == {"config.json", *names(20)}
    best = mirror.fetched(f"{URL}/checkpoints/best")
    assert best == run / "checkpoints" / "nimg_000000010"
    assert (best / "state/d/0").read_bytes() == b"10"
    # What is here is not fetched again.
    mirror.fetched.cache_clear()
    BUCKET.rm_file("/bucket/run/checkpoints/nimg_000000010/state/d/0")
    assert mirror.fetched(f"{URL}/checkpoints/nimg_000000010") == best
    BUCKET.pipe_file("/bucket/net.pkl", b"abc")
    assert mirror.fetched("memory://bucket/net.pkl").read_bytes() == b"abc"
    BUCKET.pipe_file("/bucket/old/config.json", b"{}")
    BUCKET.pipe_file("/bucket/old/checkpoints/nimg_000000001/state/d/0", b"old")
    old = mirror.fetched("memory://bucket/old")
    assert (old / "checkpoints/nimg_000000001/state/d/0").read_bytes() == b"old"
    with pytest.raises(UserError, match="neither a file nor a run with a checkpoint"):
        mirror.fetched("memory://bucket/nothing")
