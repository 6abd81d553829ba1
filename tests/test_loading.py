import dataclasses
import functools
import json
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
from stylegan_jax.interop import pytorch
from stylegan_jax.runs import provenance
from stylegan_jax.runs.checkpoint import CheckpointConfig, Checkpoints
from stylegan_jax.training.config import Config
from stylegan_jax.training.state import OptimizerConfig, init_state
from tests.tiny import MODEL

SAVED = {100: {"resolution": 8, "alpha": None}, 200: {"resolution": 16, "alpha": 0.25}}


@functools.cache
def trained(model):
    """A state whose average and mean are not those of a new one."""
    state = init_state(jax.random.key(0), model, OptimizerConfig())
    return dataclasses.replace(
        state, g_ema=jax.tree.map(lambda x: x + 0.5, state.g_ema), w_avg=state.w_avg + 2
    )


def make_run(path, model=MODEL):
    """A run directory as training leaves it, without training."""
    provenance.start_run(path, Config(model=model))
    config = CheckpointConfig(asynchronous=False)
    with Checkpoints(path, config) as checkpoints:
        for nimg, shown in SAVED.items():
            checkpoints.save(nimg, trained(model), shown)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def test_a_run_loads_as_the_newest_average_in_mid_fade(run):
    for path in (run, str(run), run / "checkpoints"):
        generator = stylegan_jax.load(path)
        assert generator.resolution == 16 and generator.alpha == 0.25
        assert generator.config == MODEL
        chex.assert_trees_all_equal(generator.params, trained(MODEL).g_ema)
        chex.assert_trees_all_equal(generator.noise, trained(MODEL).noise)
        np.testing.assert_array_equal(generator.w_avg, np.full(6, 2))
    chex.assert_shape(generator.sample(np.zeros((2, 6), "f")), (2, 16, 16, 3))
    chex.assert_type(jax.tree.leaves(generator), np.float32)


def test_a_single_checkpoint_loads_as_it_stood(run):
    older = min((run / "checkpoints").iterdir())
    generator = stylegan_jax.load(older)
    assert generator.resolution == 8 and generator.alpha is None
    chex.assert_shape(generator.sample(np.zeros((2, 6), "f")), (2, 8, 8, 3))


@pytest.mark.parametrize(
    "changes",
    [{"use_noise": False}, {"mapping_layers": 0}, {"use_styles": False}],
    ids=lambda changes: next(iter(changes)),
)
def test_networks_that_lack_a_part_load_too(changes, tmp_path):
    model = dataclasses.replace(MODEL, **changes)
    generator = stylegan_jax.load(make_run(tmp_path / "run", model))
    expected = trained(model)
    chex.assert_trees_all_equal(generator.params, expected.g_ema)
    chex.assert_trees_all_equal(generator.noise, expected.noise)
    chex.assert_shape(generator.sample(np.zeros((2, 6), "f")), (2, 16, 16, 3))


def test_a_conditional_run_wants_labels(tmp_path):
    model = dataclasses.replace(MODEL, label_size=2)
    generator = stylegan_jax.load(make_run(tmp_path / "run", model))
    z = np.zeros((2, 6), "f")
    with pytest.raises(ValueError, match=r"conditional: pass labels of shape \(2, 2\)"):
        generator.sample(z)
    chex.assert_shape(generator.sample(z, labels=np.eye(2, dtype="f")), (2, 16, 16, 3))


def test_what_is_no_network_is_refused_with_the_way_out(tmp_path):
    program = tmp_path / "sampler.jaxexport"
    program.write_bytes(b"<")
    with pytest.raises(UserError, match="is a program that draws"):
        stylegan_jax.load(program)
    with pytest.raises(UserError, match="nothing does not exist; give a run directory"):
        stylegan_jax.load(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"has no config\.json"):
        stylegan_jax.load(tmp_path)
    (tmp_path / "text.pkl").write_text("hello")
    with pytest.raises(UserError, match=r"text\.pkl"):
        stylegan_jax.load(tmp_path / "text.pkl")
    provenance.start_run(tmp_path / "run", Config(model=MODEL))
    with pytest.raises(UserError, match="no checkpoint in"):
        stylegan_jax.load(tmp_path / "run")


@pytest.mark.parametrize("text", ["{", "{}", '{"model": {"resolution": 12}}', None])
def test_a_configuration_that_is_not_ours_is_refused(text, tmp_path):
    provenance.start_run(tmp_path, Config(model=MODEL))
    path = tmp_path / "config.json"
    if text is None:  # a field of the future
        stored = json.loads(path.read_text())
        stored["model"]["use_magic"] = True
        text = json.dumps(stored)
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json (is damaged|does not describe)"):
        stylegan_jax.load(tmp_path)


@pytest.mark.parametrize("name", ["genforce_res16_growing", "rosinality_res16"])
def test_pytorch_checkpoints_load_and_convert(name, tmp_path):
    path = Path(__file__).parent / "data" / "pytorch" / f"{name}.pth"
    generator = stylegan_jax.load(path)
    expected = pytorch.load_pytorch(path)
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


def test_a_name_of_a_public_network_is_fetched(monkeypatch, run):
    monkeypatch.setattr(loading.registry, "fetch", {"ffhq": run}.get)
    chex.assert_trees_all_equal(stylegan_jax.load("ffhq"), stylegan_jax.load(run))
    with pytest.raises(UserError, match="did you mean ffhq"):
        stylegan_jax.load("fhq")


def test_arrays_of_another_network_and_absurd_states_are_refused(run):
    config, restored = loading._restore(run, ["g_ema"])
    assert loading._generator(config, restored, "g_ema").resolution == 16
    with pytest.raises(UserError, match=r"mapping/dense0/weight is \(6, 6\), exp"):
        loading._generator(dataclasses.replace(config, z_dim=7), restored, "g_ema")
    for metadata in ({}, {"resolution": 1 << 40, "alpha": None}, {"resolution": "16"}):
        with pytest.raises(UserError, match="it is damaged"):
            loading._generator(config, restored._replace(metadata=metadata), "g_ema")


def test_a_folder_that_is_no_run_never_hides_a_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading.registry, "fetch", {"ffhq": run}.get)
    for name in ("ffhq", "portraits"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seed0000.png").write_bytes(b"")
        (tmp_path / name / "config.json").write_text('{"of": "another program"}')
    assert loading.located("ffhq") == run
    assert loading.located("portraits") == loading.pretrained.network("portraits")
    for path in ("./portraits", "portraits/", tmp_path / "portraits"):
        assert loading.located(path).resolve() == tmp_path / "portraits"


@pytest.mark.parametrize("kind", ["run", "damaged run", "file"])
def test_a_run_or_file_called_like_a_network_is_asked_about(
    kind, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "portraits"
    if kind == "file":
        place.write_bytes(b"weights")
    else:
        shutil.copytree(run, place)
        if kind == "damaged run":
            (place / "config.json").write_text("{")
    what = kind.split()[-1]
    with pytest.raises(
        UserError,
        match=f"network and of a {what} here: give ./portraits .* name:portraits",
    ):
        stylegan_jax.load("portraits")
    assert loading.located("./portraits").resolve() == place
    assert loading.located("name:portraits") == loading.pretrained.network("portraits")
    assert stylegan_jax.load("name:portraits").resolution == 32
    if kind == "run":
        assert stylegan_jax.load("./portraits").config == MODEL


def test_commands_keep_the_spelling_of_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["portraits", "--seeds", "3", "--outdir", "portraits", "--no-grid"]
    sample.main(words)
    sample.main(words)  # the folder is there now
    with pytest.raises(UserError, match=r"portraits is not a run directory"):
        sample.main(["./portraits", *words[1:]])
    with pytest.raises(UserError, match=r"did you mean portraits\?"):
        sample.main(["portrait", *words[1:]])


def test_best_is_a_checkpoint_whatever_folder_is_called_so(run, tmp_path, monkeypatch):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    steps = copy / "checkpoints"
    first = min(path.name for path in steps.iterdir())
    monkeypatch.setattr(loading.retention, "best_path", lambda folder: folder / first)
    (steps / "best").mkdir()
    assert loading.located(steps / "best").name == first
    monkeypatch.chdir(steps)
    assert loading.located("best").name == first


def test_a_misspelt_path_suggests_what_lies_there(run):
    with pytest.raises(UserError, match=f"did you mean {run.name}"):
        stylegan_jax.load(run.with_name(run.name + "s"))
