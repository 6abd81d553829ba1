"""`stylegan_jax.evaluate` in several processes."""

import jax
import jax.numpy as jnp
import pytest

from stylegan_jax.commands import evaluate
from stylegan_jax.features import exported_function
from stylegan_jax.interop import exported
from stylegan_jax.networks.generator import init_generator
from tests.distributed.jobs import finished
from tests.metrics.measuring import MODEL


def colours(images):
    """Of a picture's halves."""
    halves = images[:, :4].mean((1, 2)), images[:, 4:].mean((1, 2))
    return jnp.concatenate(halves, axis=1)


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    exported.save(tmp_path / "x.safetensors", init_generator(jax.random.key(0), MODEL))
    exported_function.save(colours, tmp_path / "colours.jaxexport", resolution=8)
    words = [tmp_path / "x.safetensors", "--data.name", "portraits"]
    words += ["--data.portraits-size", "40", "--metrics", "fid40"]
    return [str(x) for x in [*words, "--features", tmp_path / "colours.jaxexport"]]


def test_two_processes_find_what_one_finds(server, words, capsys):
    evaluate.main(words)
    name, score = capsys.readouterr().out.split()
    assert name == "fd40[colours]" and float(score) > 1
    job = finished(server.train(words, command="evaluate", processes=2))
    (line,) = [x for x in job[0].output().splitlines() if x.startswith(name)]
    assert float(line.split()[1]) == pytest.approx(float(score), rel=1e-4)
    assert name not in job[1].output()


@pytest.mark.slow
def test_different_settings_are_noticed(server, words):
    odd = ["--seed", "1"]
    job = server.train(words, command="evaluate", processes=2, odd=odd)
    for process in job:
        assert process.wait() == 2, process.output()
        assert "network, data and settings differ between" in process.output()
