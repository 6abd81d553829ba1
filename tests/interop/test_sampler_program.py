"""Samplers that run where nothing but jax, numpy and flatbuffers is installed."""

import dataclasses
import json
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export

from stylegan_jax.commands import convert
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported, sampler_program
from tests import tiny

MODEL = dataclasses.replace(tiny.MODEL, label_size=3, w_dim=5)
# jax, what it needs, and flatbuffers.
INSTALLED = ("jax", "jaxlib", "ml_dtypes", "numpy", "opt_einsum", "scipy")
PROGRAM = """
import importlib.util, json, sys
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
sys.path.append({site!r})
{usage}
for name in ("stylegan_jax", "flax", "optax"):
    assert importlib.util.find_spec(name) is None
    assert name not in sys.modules
drawn = [sampler.call(z[:n], np.float32(psi), labels[:n])
         for n, psi in ((1, 0.7), (3, -0.5))]
np.savez("images.npz", *drawn, four=images)
print(json.dumps([sampler.platforms, jax.__file__]))
"""


Z = np.random.RandomState(0).randn(4, 6).astype(np.float32)
LABELS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
_sample = jax.jit(
    lambda generator, psi: generator.sample(Z, labels=LABELS, psi=psi),
    compiler_options={"xla_backend_optimization_level": 0},
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A conditional network in mid-fade, with a mean of w that matters."""
    made = tiny.generator(MODEL).replace(resolution=8, alpha=np.float32(0.375))
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    exported.save(path, made)
    return path


def bare_site(folder):
    """A folder of packages that holds jax and flatbuffers alone."""
    folder.mkdir()
    for name in (*INSTALLED, "flatbuffers"):
        spec = util.find_spec(name)
        assert spec is not None and spec.origin is not None
        package = Path(spec.origin).parent
        (folder / name).symlink_to(package)
        if (libraries := package.with_name(f"{name}.libs")).exists():
            (folder / libraries.name).symlink_to(libraries)
    return folder


@pytest.mark.thorough
def test_it_draws_where_this_package_is_not_installed(network, tmp_path, capsys):
    path = tmp_path / "sampler.jaxexport"
    convert.main([str(network), str(path)])
    report, usage = capsys.readouterr().out.split("is used like this:\n")
    assert "holds a program for cpu, cuda, tpu, in float32" in report
    program = PROGRAM.format(site=str(bare_site(tmp_path / "site")), usage=usage)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    platforms, origin = json.loads(done.stdout)
    assert platforms == ["cpu", "cuda", "tpu"]
    assert Path(origin).is_relative_to(tmp_path / "site")

    generator = exported.load(network)
    with np.load(tmp_path / "images.npz") as found:
        for name, count, psi in [
            ("arr_0", 1, 0.7),
            ("arr_1", 3, -0.5),
            ("four", 4, 0.7),
        ]:
            assert found[name].dtype == np.float32
            expected = _sample(generator, psi)[:count]
            np.testing.assert_allclose(found[name], expected, atol=1e-5)


@pytest.mark.thorough
def test_bfloat16_keeps_16_bits_and_rounds(network, tmp_path, capsys):
    generator = exported.load(network)
    path = tmp_path / "half.jaxexport"
    convert.main([str(network), str(path), "--dtype", "bfloat16"])
    worst = float(capsys.readouterr().out.split("differ by at most ")[1].split(",")[0])
    program = export.deserialize(bytearray(path.read_bytes()))
    difference = np.abs(program.call(Z, 0.7, LABELS) - _sample(generator, 0.7))
    assert 1e-4 < difference.mean() < 0.02 and 1e-3 < worst < 0.3
    # No weights are kept in 32 bits.
    constants = re.findall(
        r"constant dense<[^>]*> : tensor<([^>]+)>", program.mlir_module()
    )
    assert sum("xbf16" in kind for kind in constants) > 20
    assert not [kind for kind in constants if "xf32" in kind and len(kind) > 8]


@pytest.mark.thorough
def test_a_sampler_that_draws_something_else_is_not_left_behind(
    network, tmp_path, monkeypatch
):
    make = sampler_program.make_sampler

    def untruncated(generator, **options):
        return make(generator, **options | {"cutoff": 0})

    monkeypatch.setattr(sampler_program, "make_sampler", untruncated)
    with pytest.raises(UserError, match="read back, the images of"):
        convert.main([str(network), str(tmp_path / "sampler.jaxexport")])
    assert list(tmp_path.iterdir()) == []


def test_without_flatbuffers_the_extra_is_named(network, tmp_path, monkeypatch):
    find = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda x: None if x == "flatbuffers" else find(x)
    )
    with pytest.raises(UserError, match=r"pip install 'stylegan_jax\[export\]'"):
        convert.main([str(network), str(tmp_path / "sampler.jaxexport")])
    assert list(tmp_path.iterdir()) == []
