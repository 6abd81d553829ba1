"""Buckets by the protocols of S3 and Google, of servers that imitate them here.

They are no dependency of the tests: `pip install 'moto[s3]' flask flask-cors s3fs`, or
`pip install gcp-storage-emulator gcsfs`, then `python -m pytest -m slow` on this file.
"""

import os
import shutil
import socket
import time

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import mirror
from stylegan_jax.io.mirror import _Bucket

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=["s3", "gs"])
def scheme(request, monkeypatch, tmp_path):
    """Of the URL of a bucket called `bucket`, on this machine."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if request.param == "s3":
        pytest.importorskip("s3fs")
        server = pytest.importorskip("moto.server")
        running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port)
        running.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import boto3

        boto3.client("s3").create_bucket(Bucket="bucket")
    else:
        pytest.importorskip("gcsfs")
        server = pytest.importorskip("gcp_storage_emulator.server")
        running = server.create_server(
            "127.0.0.1", port, in_memory=True, default_bucket="bucket"
        )
        running.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    yield request.param
    running.stop()


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_run_goes_up_changes_and_comes_back(scheme, monkeypatch):
    monkeypatch.setattr(mirror, "EVERY_SECONDS", 0.2)
    url, noise = f"{scheme}://bucket/runs/one", os.urandom(3_000_000)
    with mirror.mirrored(url) as folder:
        write(folder, "config.json", b"{}")
        write(folder, "metrics.jsonl", b"1")
        for name in ("nimg_000000001", "nimg_000000002"):
            write(folder, f"checkpoints/{name}/state/d/0", noise)
            write(folder, f"checkpoints/{name}/checksums.json", name.encode())
        time.sleep(3)  # until they have been copied
        write(folder, "metrics.jsonl", b"12")
        shutil.rmtree(folder / "checkpoints" / "nimg_000000001")
    there = [
        "checkpoints/nimg_000000002/checksums.json",
        "checkpoints/nimg_000000002/state/d/0",
        "config.json",
        "metrics.jsonl",
    ]
    assert sorted(_Bucket(url).names()) == there
    shutil.rmtree(folder)
    with mirror.mirrored(url) as folder:
        assert (folder / "metrics.jsonl").read_bytes() == b"12"
    run = mirror.fetched(url)
    assert run != folder
    assert (run / "checkpoints/nimg_000000002/state/d/0").read_bytes() == noise
    file = mirror.fetched(f"{url}/metrics.jsonl")
    assert file.read_bytes() == b"12"


def test_a_bucket_that_is_not_there_is_refused_before_anything_is_done(scheme):
    url = f"{scheme}://nosuchbucket/x"
    with pytest.raises(UserError, match="bucket's name right"), mirror.mirrored(url):
        pass
