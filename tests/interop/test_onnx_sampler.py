"""Graphs of ONNX, run by onnxruntime: they draw what the network draws."""

import dataclasses
from importlib import util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.commands import convert
from stylegan_jax.errors import UserError
from stylegan_jax.interop import onnx_sampler
from stylegan_jax.ops.latents import mix_styles, truncate
from tests import tiny

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

MODEL = dataclasses.replace(tiny.MODEL_8, w_dim=5)
LABELLED = Path(__file__).parents[1] / "data/official/stylegan_res16_labels5_gray.pkl"
PROGAN = {
    **dict(use_styles=False, const_input=False, use_noise=False, blur=False),
    **dict(use_instance_norm=False, use_pixel_norm=True),
}


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {k: np.asarray(x, "f") for k, x in inputs.items()})[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small network and its graph."""
    generator = tiny.generator(MODEL)
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    onnx_sampler.save(path, generator, cutoff=3, source="a run", licence="mine")
    return generator, path


def test_the_graph_is_valid_small_and_says_where_it_comes_from(made):
    generator, path = made
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert (notes["source"], notes["licence"]) == ("a run", "mine")
    shapes = {
        x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
        for x in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "z": ["n", "l", 6],
        "psi": [],
        "move": ["m", 4, 5],
        "noise": [],
        "images": ["n", 8, 8, 3],
    }
    # Kernels of 4x4 in place of 3x3 in the one layer that doubles the size.
    count = sum(x.size for x in jax.tree.leaves(generator))
    assert path.stat().st_size < 4 * count * 16 / 9 + 12_000


def test_every_input_does_what_it_is_called(made):
    """Mixing, truncation of the first layers, moves and noise, one at a time."""
    generator, path = made
    random = np.random.RandomState(0)
    z, move = random.randn(2, 6).astype("f"), random.randn(2, 4, 5).astype("f")
    mean = generator.w_avg
    w = jax.jit(generator.map)(z)
    draw = jax.jit(generator.synthesize)
    zero = tuple(jnp.zeros_like(x) for x in generator.noise)
    stored = generator.noise

    def shows(expected, **changes):
        plain = {"z": z[:, None], "psi": 1, "move": np.zeros((1, 4, 5)), "noise": 1}
        found = run(path, **plain | changes)
        np.testing.assert_allclose(found, expected, atol=2e-5)
        return found

    plain = shows(draw(w, stored))
    others = [
        shows(draw(truncate(w, mean, 0.5, cutoff=3), stored), psi=0.5),
        shows(draw(w + move, stored), move=move),
        shows(draw(w + move[:1], stored), move=move[:1]),
        shows(draw(w, zero), noise=0),
        shows(draw(w, tuple(2 * x for x in stored)), noise=2),
    ]
    mixed = np.stack([z[0], z[0], z[1], z[1]])[None]
    expected = draw(mix_styles(w[:1], w[1:], 2), stored)
    others.append(np.repeat(shows(expected, z=mixed), 2, axis=0))
    assert all(np.abs(other - plain).mean() > 0.01 for other in others)


@pytest.mark.parametrize(
    ("changes", "grown"),
    [
        ({"label_size": 3, "bias_before_blur": True, "shared_noise": True}, {}),
        ({"fused_from": 8, "mapping_layers": 0, "w_dim": 6}, {"alpha": 0.375}),
        (PROGAN | {"label_size": 3, "embed_labels": False}, {"alpha": 0.25}),
        pytest.param({"normalize_z": False, "blur": False}, {"w_avg": None}, id="raw"),
        pytest.param(PROGAN, {}, marks=pytest.mark.thorough),
        pytest.param({"use_noise": False}, {"resolution": 4}, id="unfinished"),
    ],
)
def test_all_architectures_draw_the_same(changes, grown, tmp_path):
    grown = {k: np.float32(x) if k == "alpha" else x for k, x in grown.items()}
    generator = tiny.generator(dataclasses.replace(MODEL, **changes)).replace(**grown)
    onnx_sampler.save(tmp_path / "net.onnx", generator)
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    assert onnx_sampler.check(tmp_path / "net.onnx", generator) < 2e-5


@pytest.mark.parametrize(("pixels", "channels"), [(1, 2), (8, 1)])
def test_perceptrons_draw_the_same(pixels, channels, tmp_path):
    model = dataclasses.replace(
        tiny.POINTS, resolution=pixels, num_channels=channels, mlp_layers=2
    )
    onnx_sampler.save(tmp_path / "net.onnx", tiny.generator(model))
    assert onnx_sampler.check(tmp_path / "net.onnx", tiny.generator(model)) < 2e-5


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["stylegan_res256", "progan_res32"])
def test_official_networks_draw_the_same(name, shared_dir, tmp_path, capsys):
    source = shared_dir / "reference" / "official" / f"{name}.pkl"
    convert.main([str(source), str(tmp_path / "net.onnx")])
    words = capsys.readouterr().out.split("images differ by at most ")[1]
    assert 0 < float(words.split(",")[0]) < 1e-4


def test_the_printed_lines_draw_with_classes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    convert.main([str(LABELLED), "net.onnx"])
    report, usage = capsys.readouterr().out.split("is used like this:\n")
    assert "holds a graph of ONNX, in float32" in report
    found: dict = {}
    exec(usage, found)
    assert found["images"].shape == (4, 16, 16, 1)
    assert "-1 to 1" in usage and "[4, 16, 16, 1]" in usage


def test_a_graph_that_draws_something_else_is_not_left_behind(tmp_path, monkeypatch):
    save = onnx_sampler.save

    def untruncated(*args, **options):
        save(*args, **options, cutoff=0)

    monkeypatch.setattr(onnx_sampler, "save", untruncated)
    with pytest.raises(UserError, match="read back, the images of"):
        convert.main([str(LABELLED), str(tmp_path / "net.onnx")])
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_the_extra_is_named(tmp_path, monkeypatch):
    find = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda x: None if x == "onnxruntime" else find(x)
    )
    with pytest.raises(UserError, match=r"pip install 'stylegan_jax\[onnx\]'"):
        onnx_sampler.save(tmp_path / "net.onnx", tiny.generator(MODEL))
    assert list(tmp_path.iterdir()) == []
