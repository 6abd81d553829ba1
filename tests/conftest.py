"""Four fake CPU devices, strict numerics, and what several tests share."""

import dataclasses
import http.server
import os
import threading
import time

# Before JAX is imported: XLA's CPU backend needs a thread per collective in flight.
os.environ.setdefault("NPROC", "32")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# LLVM's expensive passes: the tests compile much and run little.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

from pathlib import Path

import jax
import pytest

from stylegan_jax.io import fetch

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
# Compiled programs are kept between runs of the tests.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "xla"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


# Of services rather than formulas; `.ci/run` has them, `launch/test.sh` does without.
_SERVICES = {"benchmarks", "demo", "distributed", "docs", "end_to_end", "launch"}
# Files of the longest tests begin first, so that no worker ends with one.
_LONGEST = [
    *("test_notebook.py", "test_kill.py", "test_augment.py", "test_loop.py"),
    *("test_step.py", "test_face.py", "test_equality.py", "test_survival.py"),
    *("test_coverage.py", "test_commands.py", "test_official.py", "test_browser.py"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of services; orders the files."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in _SERVICES:
            item.add_marker(pytest.mark.services)
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture
def key() -> jax.Array:
    """A key for whatever a test draws."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference numbers and real data outside the repository; skips without them."""
    path = Path(os.environ.get("STYLEGAN_JAX_SHARED", ""))
    if not os.environ.get("STYLEGAN_JAX_SHARED"):
        path = Path(__file__).resolve().parents[2] / "shared"
    if not (path / "reference").is_dir():
        pytest.skip("reference data is not at hand (STYLEGAN_JAX_SHARED)")
    return path


@pytest.fixture(scope="session")
def tiny_generator():
    """16 px, six layers, as if it were trained."""
    from tests import tiny  # which imports most of the package

    return tiny.generator()


@pytest.fixture(scope="session")
def tiny_network(tiny_generator, tmp_path_factory) -> str:
    """The same in a file."""
    from stylegan_jax.interop import exported

    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    exported.save(path, tiny_generator)
    return str(path)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run of that network with the checkpoints `tiny.SAVED`; not to be changed."""
    from tests import tiny

    return tiny.start_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_photos(tmp_path_factory) -> Path:
    """A folder of four portraits of 16 px; not to be changed."""
    from tests import tiny

    return tiny.write_photos(tmp_path_factory.mktemp("photos"))


@dataclasses.dataclass
class Site:
    """A web site on this machine that serves one file, as badly as it is told to."""

    url: str
    content: bytes = bytes(range(256)) * 40
    headers: dict = dataclasses.field(default_factory=lambda: {"ETag": '"1"'})
    ranges: bool = True  # whether it knows them
    says_length: bool = True
    cuts: list = dataclasses.field(default_factory=list)  # bytes until it hangs up
    hold: float = 0.0  # seconds before it hangs up
    # (status, headers, body) of the next answers; None is the file.
    answers: list = dataclasses.field(default_factory=list)
    requests: list = dataclasses.field(default_factory=list)  # (path, range)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        wanted = self.headers.get("Range")
        site.requests.append((self.path, wanted))
        answer = site.answers.pop(0) if site.answers else None
        status, headers, body = answer or (200, site.headers, site.content)
        same = self.headers["If-Range"] in site.headers.values()
        if answer is None and wanted and site.ranges and same:
            start, size = int(wanted[len("bytes=") : -1]), len(body)
            where = f"bytes {start}-{size - 1}/{size}"
            headers = {**headers, "Content-Range": where}
            status, body = (206, body[start:]) if start < size else (416, b"")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if site.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)
        time.sleep(site.hold)

    def log_message(self, *args):
        pass


@pytest.fixture
def site(monkeypatch):
    """A `Site`; attempts to fetch from it follow each other without a pause."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "_DELAYS", (0.0, 0.0, 0.0, 0.0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site = Site(f"http://127.0.0.1:{server.server_port}/file.bin")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()
