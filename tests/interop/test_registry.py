import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop import registry
from stylegan_jax.interop.registry import CC_BY_NC, NETWORKS, PublicNetwork
from stylegan_jax.interop.stylegan_tf import load_bundle
from stylegan_jax.io import cache
from tests.interop.official import SAMPLE

NOTICE = CC_BY_NC.notice


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where networks are kept; not made yet."""
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "networks"


@pytest.fixture
def small(site, folder, monkeypatch):
    """The sample, published on `site` under the name `small`."""
    site.content = SAMPLE.read_bytes()
    network = PublicNetwork(
        content="numbers",
        file_name="small.pkl",
        urls=(site.url,),
        resolution=16,
        licence=CC_BY_NC,
    )
    monkeypatch.setitem(NETWORKS, "small", network)
    return network


def change(monkeypatch, **changes):
    changed = dataclasses.replace(NETWORKS["small"], **changes)
    monkeypatch.setitem(NETWORKS, "small", changed)


# --- The table ---------------------------------------------------------------------


def test_the_table_says_what_nvidia_publishes():
    official = {"ffhq", "celebahq", "bedroom", "car", "cat", "progan-celebahq"}
    datasets = ("ffhq", "car", "cat", "church", "horse")
    assert NETWORKS.keys() == official | {f"{name}-config-a" for name in datasets}
    for name, network in NETWORKS.items():
        places = [url.removeprefix("https://") for url in network.urls]
        hosts = [place.split("/")[0] for place in places]
        if name.endswith("-config-a"):
            assert network.file_name == f"stylegan2-{name}.pkl"
            assert hosts == ["nvlabs-fi-cdn.nvidia.com", "drive.google.com"]
            assert network.urls[0].endswith(f"/stylegan2/networks/{network.file_name}")
            assert network.licence.name == "NVIDIA Source Code License-NC"
        else:
            # `car` is 512x384 on a canvas of 512x512.
            assert f"-{network.resolution}x" in network.file_name
            assert hosts == ["drive.google.com"]
            assert network.licence.name == "CC BY-NC 4.0"
    ids = [url for network in NETWORKS.values() for url in network.urls]
    assert len(set(ids)) == len(ids) == 16
    sizes = {name: network.resolution for name, network in NETWORKS.items()}
    assert sizes["ffhq"] == sizes["celebahq"] == sizes["ffhq-config-a"] == 1024
    assert sizes["car"] == sizes["car-config-a"] == 512
    assert sizes["cat"] == sizes["church-config-a"] == sizes["horse-config-a"] == 256


def test_a_name_is_known_or_something_close_to_it_is(folder):
    with pytest.raises(UserError, match=r"'FFHQ' is no public.* mean ffhq"):
        registry.fetch("FFHQ")
    with pytest.raises(UserError, match=r"'bedrooms' is no public.* mean bedroom"):
        registry.fetch("bedrooms")
    with pytest.raises(UserError, match="known: ffhq, celebahq, bedroom, car, cat, "):
        registry.fetch("runs/portraits")
    assert not folder.exists()


def test_the_listing_names_what_people_need(small, folder):
    def line():
        return next(row for row in registry.describe().splitlines() if "small" in row)

    assert line().split() == ["small", "16", "px", "numbers", "CC", "BY-NC", "4.0"]
    assert str(folder) in registry.describe()
    assert "https://nvlabs.github.io/stylegan2/license.html" in registry.describe()
    registry.fetch("small")
    assert line().endswith("CC BY-NC 4.0, here")


@pytest.mark.thorough
def test_the_listing_needs_no_jax():
    program = "import sys; from stylegan_jax.interop import registry as r; r.describe()"
    program += "; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.stdout == b"False\n"


# --- Fetching ----------------------------------------------------------------------


def test_a_network_is_fetched_once_and_its_licence_shown_once(
    small, site, folder, caplog
):
    path = registry.fetch("small")
    assert path == folder / "small.pkl"
    assert path.read_bytes() == SAMPLE.read_bytes()
    assert registry.fetch("small") == path
    assert caplog.messages == [NOTICE]
    assert len(site.requests) == 1
    assert load_bundle(path).generator.config.resolution == 16


def test_what_cannot_be_fetched_says_how_to_bring_it(small, site, folder):
    site.answers = [(200, {}, b"<html><title>Drive - Quota exceeded</title></html>")]
    with pytest.raises(UserError) as caught:
        registry.fetch("small")
    text = str(caught.value)
    assert text.startswith(f"small cannot be fetched: {site.url}: quota exceeded")
    assert (
        f"put it at {folder / 'small.pkl'} or run" in text
        and "`from_file` FILE" in text
    )
    assert "\n" not in text
    # Just so.
    shutil.copyfile(SAMPLE, folder / "small.pkl")
    assert registry.fetch("small").read_bytes() == SAMPLE.read_bytes()
    assert len(site.requests) == 1


def test_a_download_that_is_something_else_is_removed(small, site, folder, monkeypatch):
    change(monkeypatch, resolution=32)
    with pytest.raises(UserError, match=r"at 16 px, not 'G_style' at 32 px; removed"):
        registry.fetch("small")
    site.content = b"\x80\x02."
    with pytest.raises(UserError, match=r"leaves values over.*; removed"):
        registry.fetch("small")
    assert not (folder / "small.pkl").exists()
    assert not (folder / "small.pkl.sha256").exists()


def test_a_file_that_decays_in_the_cache_is_noticed(small, site):
    path = registry.fetch("small")
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(100_000)
        byte = file.read(1)
        file.seek(100_000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match=r"is not small, or damaged: .*remove it"):
        registry.fetch("small")
    path.unlink()
    assert registry.fetch("small").read_bytes() == SAMPLE.read_bytes()
    assert len(site.requests) == 2


@pytest.mark.thorough
def test_two_processes_fetch_a_network_once(small, site, folder):
    program = f"""if True:
        import dataclasses
        from stylegan_jax.interop import registry
        from stylegan_jax.interop.registry import NETWORKS
        NETWORKS["small"] = dataclasses.replace(
            NETWORKS["cat"],
            file_name="small.pkl",
            urls=({site.url!r},),
            resolution=16,
        )
        print(registry.fetch("small"))
    """
    site.hold, site.says_length = 0.5, False  # it is not whole before it ends
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=60) for process in processes]
    assert [out for out, _ in results] == [f"{folder / 'small.pkl'}\n"] * 2, results
    assert len(site.requests) == 1
    assert sum(NOTICE in err for _, err in results) == 1


# --- One's own file ----------------------------------------------------------------


def test_ones_own_file_is_copied_in(small, site, folder, tmp_path, caplog):
    mine = tmp_path / "mine.pkl"
    shutil.copyfile(SAMPLE, mine)
    path = registry.fetch("small", from_file=str(mine))
    assert NOTICE in caplog.messages
    mine.write_bytes(b"")  # the copy is not the file itself
    assert registry.fetch("small") == path == folder / "small.pkl"
    assert path.read_bytes() == SAMPLE.read_bytes()
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["small.pkl", "small.pkl.sha256"]
    assert site.requests == []


def test_ones_own_file_replaces_what_decayed(small, site):
    path = registry.fetch("small")
    path.write_bytes(b"rubbish")
    registry.fetch("small", from_file=SAMPLE)
    assert registry.fetch("small").read_bytes() == SAMPLE.read_bytes()
    # Even the file in the cache itself, once it was changed on purpose.
    cache.record(path, hashlib.sha256(b"older").hexdigest())
    assert registry.fetch("small", from_file=path) == path
    assert registry.fetch("small") == path
    assert len(site.requests) == 1


def test_a_copy_that_fails_leaves_things_as_they_were(small, folder, monkeypatch):
    def half(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", half)
        with pytest.raises(UserError, match=r"cannot be written \(No space left"):
            registry.fetch("small", from_file=SAMPLE)
    assert not list(folder.glob("*"))


def test_a_copy_that_is_interrupted_is_not_judged_by_the_older_file(
    small, folder, monkeypatch
):
    path = registry.fetch("small")
    path.write_bytes(b"older")
    cache.record(path, hashlib.sha256(b"older").hexdigest())

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.fetch("small", from_file=SAMPLE)
    assert registry.fetch("small").read_bytes() == SAMPLE.read_bytes()


def test_another_file_is_refused_and_left_alone(small, folder, tmp_path, monkeypatch):
    damaged = tmp_path / "damaged.pkl"
    damaged.write_bytes(SAMPLE.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"damaged\.pkl"):
        registry.fetch("small", from_file=damaged)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match="NumPy array file"):
        registry.fetch("small", from_file=tmp_path / "array.npy")
    with pytest.raises(UserError, match=r"`from_file` .*nothing: there is no such"):
        registry.fetch("small", from_file=tmp_path / "nothing")
    change(monkeypatch, builder="G_paper")
    with pytest.raises(UserError, match=r"not small\.pkl.* 'G_style' at 16 px, not"):
        registry.fetch("small", from_file=SAMPLE)
    assert damaged.exists() and SAMPLE.exists()
    assert not list(folder.glob("*.pkl")) and not list(folder.glob("*.copy"))
