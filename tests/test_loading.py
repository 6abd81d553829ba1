"""Networks from runs, checkpoints, files and names."""

import dataclasses
import shutil
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

import stylegan_jax
from stylegan_jax import loading
from stylegan_jax.commands import convert, sample
from stylegan_jax.errors import UserError
from stylegan_jax.interop import pretrained, pytorch
from stylegan_jax.runs import run_directory
from tests import tiny
from tests.tiny import MODEL


def test_a_run_loads_as_the_newest_average_in_mid_fade(tiny_run):
    expected = tiny.generator()
    for path in (tiny_run, str(tiny_run), tiny_run / "checkpoints"):
        generator = stylegan_jax.load(path)
        assert generator.resolution == 16 and generator.alpha == 0.25
        assert generator.config == MODEL
        chex.assert_trees_all_equal(generator.params, expected.params)
        chex.assert_trees_all_equal(generator.noise, expected.noise)
        np.testing.assert_array_equal(generator.w_avg, expected.w_avg)
    chex.assert_type(jax.tree.leaves(generator), np.float32)
    raw = loading.load(tiny_run, "raw").params
    chex.assert_trees_all_equal(raw, tiny.state().g_params)


def test_a_single_checkpoint_loads_as_it_stood(tiny_run):
    generator = stylegan_jax.load(min((tiny_run / "checkpoints").iterdir()))
    assert generator.resolution == 8 and generator.alpha is None
    images = jax.eval_shape(generator.sample, np.zeros((2, 6), "f"))
    assert images.shape == (2, 8, 8, 3)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "changes",
    [
        {"use_noise": False},
        {"mapping_layers": 0},
        {"use_styles": False},
        {"label_size": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_networks_with_other_parts_load_too(changes, tmp_path):
    model = dataclasses.replace(MODEL, **changes)
    generator = stylegan_jax.load(tiny.start_run(tmp_path / "run", model))
    chex.assert_trees_all_equal(generator.replace(alpha=None), tiny.generator(model))
    z, labels = np.zeros((2, 6), "f"), None
    if model.label_size:
        with pytest.raises(UserError, match=r"pass labels of shape \(2, 2\)"):
            generator.sample(z)
        labels = np.eye(2, dtype="f")
    images = jax.eval_shape(lambda: generator.sample(z, labels=labels))
    assert images.shape == (2, 16, 16, 3)


def test_what_is_no_network_is_refused_with_the_way_out(tmp_path, tiny_run):
    program = tmp_path / "sampler.jaxexport"
    program.write_bytes(b"<")
    (tmp_path / "text.pkl").write_text("hello")
    run_directory.start_run(tmp_path / "run", tiny.config())
    for path, message in [
        (program, "is a program that draws"),
        (tmp_path / "nothing", "nothing does not exist; give a run directory"),
        (tmp_path, r"has no config\.json"),
        (tmp_path / "text.pkl", r"text\.pkl"),
        (tmp_path / "run", "no checkpoint in"),
        (tiny_run.with_name(tiny_run.name + "s"), f"did you mean {tiny_run.name}"),
        ("portrait", r"portrait does not.* mean portraits"),
        ("fhq", "did you mean ffhq"),
    ]:
        with pytest.raises(UserError, match=message):
            stylegan_jax.load(path)


FUTURE = '{"model": {"use_magic": true}, "data": {}, "schedule": {}, "run": {}}'


@pytest.mark.parametrize("text", ["{", "{}", '{"model": {"resolution": 12}}', FUTURE])
def test_a_configuration_that_is_not_ours_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json (is damaged|does not describe)"):
        stylegan_jax.load(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "genforce_res16_growing",
        pytest.param("rosinality_res16", marks=pytest.mark.thorough),
    ],
)
def test_pytorch_checkpoints_load_and_convert(name, tmp_path):
    path = Path(__file__).parent / "data" / "pytorch" / f"{name}.pth"
    generator = stylegan_jax.load(path)
    expected = pytorch.load_bundle(path).generator
    chex.assert_trees_all_equal(generator, expected)
    convert.main([str(path), str(tmp_path / "x.safetensors")])
    again = stylegan_jax.load(tmp_path / "x.safetensors")
    chex.assert_trees_all_equal(again, expected)
    assert again.config == expected.config
    if name.startswith("genforce"):  # official networks in another container
        convert.main([str(path), str(tmp_path / "x.pkl")])
        chex.assert_trees_all_close(stylegan_jax.load(tmp_path / "x.pkl"), expected)
    else:
        with pytest.raises(UserError, match=r"no arguments for .*bias_before_blur"):
            convert.main([str(path), str(tmp_path / "x.pkl")])


def test_arrays_of_another_network_and_absurd_states_are_refused(tiny_run):
    config, restored = loading._restore(tiny_run, ["g_ema"])
    assert loading._generator(config, restored, "g_ema").resolution == 16
    with pytest.raises(UserError, match=r"mapping/dense0/weight is \(6, 6\), exp"):
        loading._generator(dataclasses.replace(config, z_dim=7), restored, "g_ema")
    for metadata in ({}, {"resolution": 1 << 40, "alpha": None}, {"resolution": "16"}):
        with pytest.raises(UserError, match="it is damaged"):
            loading._generator(config, restored._replace(metadata=metadata), "g_ema")


def test_a_folder_that_is_no_run_never_hides_a_name(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading.registry, "fetch", {"ffhq": tiny_run}.get)
    for name in ("ffhq", "portraits"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seed0000.png").write_bytes(b"")
        (tmp_path / name / "config.json").write_text('{"of": "another program"}')
    assert loading.located("ffhq") == tiny_run
    chex.assert_trees_all_equal(stylegan_jax.load("ffhq"), stylegan_jax.load(tiny_run))
    assert loading.located("portraits") == pretrained.network("portraits")
    for path in ("./portraits", "portraits/", tmp_path / "portraits"):
        assert loading.located(path).resolve() == tmp_path / "portraits"


@pytest.mark.parametrize("kind", ["run", "damaged run", "file"])
def test_a_run_or_file_called_like_a_network_is_asked_about(
    kind, tiny_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "portraits"
    if kind == "file":
        place.write_bytes(b"weights")
    else:
        shutil.copytree(tiny_run, place)
        if kind == "damaged run":
            (place / "config.json").write_text("{")
    what = kind.split()[-1]
    message = f"network and of a {what} here: give ./portraits .* name:portraits"
    with pytest.raises(UserError, match=message):
        stylegan_jax.load("portraits")
    assert loading.located("./portraits").resolve() == place
    assert loading.located("name:portraits") == pretrained.network("portraits")
    if kind == "run":
        assert stylegan_jax.load("./portraits").config == MODEL
        assert stylegan_jax.load("name:portraits").resolution == 32


def test_commands_keep_the_spelling_of_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["portraits", "--seeds", "3", "--outdir", "portraits", "--no-grid"]
    sample.main(words)
    sample.main(words)  # the folder is there now
    with pytest.raises(UserError, match=r"portraits is not a run directory"):
        sample.main(["./portraits", *words[1:]])


def test_best_is_a_checkpoint_whatever_folder_is_called_so(
    tiny_run, tmp_path, monkeypatch
):
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy)
    steps = copy / "checkpoints"
    first = min(path.name for path in steps.iterdir())
    monkeypatch.setattr(loading.retention, "best_path", lambda folder: folder / first)
    (steps / "best").mkdir()
    assert loading.located(steps / "best").name == first
    monkeypatch.chdir(steps)
    assert loading.located("best").name == first
