"""A network with random weights, made-up directions, both in files, and a server."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from stylegan_jax.demo.session import Session
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.interop import exported
from stylegan_jax.networks.generator import Generator, init_generator
from tests import tiny

CONFIG = dataclasses.replace(tiny.MODEL_8, channel_base=64)
DIRECTIONS = tiny.directions()


@pytest.fixture(scope="session")
def generator() -> Generator:
    """8 px, 4 layers; noise matters, and the mean of w is not 0."""
    made = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), CONFIG)
    params = jax.tree.map(lambda x: x + 0.1, made.params)
    return made.replace(params=params, w_avg=made.w_avg + 0.5)


@pytest.fixture(scope="session")
def session(generator) -> Session:
    """Of that network, with five sliders; one is in z."""
    return Session(generator, DIRECTIONS)


@pytest.fixture(scope="session")
def network(generator, tmp_path_factory):
    """The path of the network; its directions lie beside it."""
    folder = tmp_path_factory.mktemp("network")
    exported.save(folder / "tiny.safetensors", generator)
    save_directions(folder / "tiny_directions.safetensors", DIRECTIONS)
    return folder / "tiny.safetensors"


class Server(NamedTuple):
    """A server of the small network."""

    url: str
    pid: int

    def memory(self) -> int:
        """Bytes of memory that it had at most, since this was last reset."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def reset(self) -> int:
        """Begins anew; returns the bytes that it has now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.memory()


@pytest.fixture(scope="session")
def server(network, request):
    pytest.importorskip("gradio")
    cache = str(request.config.rootpath / ".pytest_cache" / "xla")
    command = [sys.executable, "-m", "stylegan_jax.serve", str(network), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--perceptual", "none"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=request.config.rootpath,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": cache},
    )
    line = process.stdout.readline()
    assert " at http://127.0.0.1:" in line, line
    yield Server(line.split(" at ")[1].split()[0], process.pid)
    process.terminate()
    process.wait(30)
    process.stdout.close()
