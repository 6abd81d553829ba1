"""Every reference goes out to both formats and comes back bit-identical."""

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import stylegan_jax
from stylegan_jax import loading
from stylegan_jax.commands import convert
from stylegan_jax.errors import UserError
from stylegan_jax.interop import bundle, exported, stylegan_tf
from stylegan_jax.interop.bundle import Bundle
from stylegan_jax.io import array_files
from tests import tiny
from tests.tiny import MODEL

HERE = Path(__file__).parent / "data" / "official"
SAMPLE = HERE / "stylegan_res16_labels5_gray.pkl"
REFERENCES = [
    "stylegan_res16_labels5_gray",
    *(
        pytest.param(name, marks=pytest.mark.thorough)
        for name in (
            "stylegan_res32",
            "stylegan_res256",
            "ablation_b_traditional_input",
            "ablation_d_no_noise",
            "progan_res32",
        )
    ),
]


@pytest.fixture(scope="module", params=REFERENCES)
def official(request: pytest.FixtureRequest) -> Path:
    """Each official pickle; the large ones where they are at hand."""
    path = HERE / f"{request.param}.pkl"
    if not path.exists():
        shared = request.getfixturevalue("shared_dir")
        path = shared / "reference" / "official" / f"{request.param}.pkl"
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory in mid-fade, as training leaves it."""
    path = tmp_path_factory.mktemp("runs") / "run"
    return tiny.start_run(path, saved={2000: {"resolution": 8, "alpha": 0.375}})


def converted(source: Path, destination: Path, *more: str) -> Bundle:
    convert.main([str(source), str(destination), *more])
    return loading.load_bundle(destination)


def assert_same(found: Any, expected: Any) -> None:
    """The same tree, the same bits."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert ours.dtype == theirs.dtype == np.float32
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


def assert_same_networks(found: Bundle, expected: Bundle) -> None:
    assert_same(found.generator, expected.generator)
    assert found.discriminator is not None and expected.discriminator is not None
    assert_same(found.discriminator.params, expected.discriminator.params)


# --- Official networks -------------------------------------------------------------


def test_an_official_pickle_goes_round_both_formats_bit_identical(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = stylegan_tf.load_bundle(official)
    # .pkl -> .safetensors -> .pkl -> .safetensors, and .pkl -> .pkl
    ours, theirs = tmp_path / "a.safetensors", tmp_path / "b.pkl"
    found = converted(official, ours, "--discriminator")
    assert_same_networks(found, expected)
    assert_same_networks(converted(ours, theirs), expected)
    last = converted(theirs, tmp_path / "c.safetensors", "--discriminator")
    assert_same_networks(last, expected)
    copied = converted(official, tmp_path / "d.pkl")
    assert_same_networks(copied, expected)
    assert_same(copied.raw, expected.raw)
    assert found.source == official.name
    output = capsys.readouterr().out
    assert output.count("read back: bit-identical to the source") == 4
    assert output.count("CC BY-NC 4.0") == 4
    count = sum(leaf.size for leaf in jax.tree.leaves(expected.generator.params))
    assert f"{count:,} parameters" in output


def test_bfloat16_is_within_rounding(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.safetensors"
    found = converted(official, path, "--dtype", "bfloat16")
    expected = stylegan_jax.load(official)
    for ours, theirs in zip(
        jax.tree.leaves(found.generator), jax.tree.leaves(expected), strict=True
    ):
        assert np.all(np.abs(ours - theirs) <= 2**-8 * np.abs(theirs))
    arrays, _ = array_files.read_safetensors(path)
    assert {array.dtype.name for array in arrays.values()} == {"bfloat16"}
    words = capsys.readouterr().out.split("numbers differ by at most ")[1]
    assert 2**-10 < float(words.split()[0]) < 2**-7.99


# --- Runs --------------------------------------------------------------------------


def test_a_run_goes_out_as_three_networks(run: Path, tmp_path: Path) -> None:
    found = converted(run, tmp_path / "a.pkl")
    state = tiny.state()
    assert_same(found.generator.params, state.g_ema)
    assert found.raw is not None and found.discriminator is not None
    assert_same(found.raw.params, state.g_params)
    assert_same(found.discriminator.params, state.d_params)
    for generator in (found.generator, found.raw):
        assert_same((generator.w_avg, generator.noise), (state.w_avg, state.noise))
        assert (generator.resolution, float(generator.alpha)) == (8, 0.375)
    assert_same(stylegan_jax.load(run), found.generator.replace(config=MODEL))
    assert_same(loading.load(run, "raw").params, state.g_params)
    assert_same(loading.load(tmp_path / "a.pkl", "raw").params, state.g_params)


def test_a_run_goes_out_as_one_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, state = tmp_path / "sub" / "a.safetensors", tiny.state()
    found = converted(run, path)
    assert found.generator.config == MODEL and found.discriminator is None
    assert_same(found.generator, stylegan_jax.load(run))
    assert (found.source, found.licence) == ("run at 2 kimg", "")
    more = converted(run, path, "--discriminator", "--overwrite", "--which", "raw")
    assert more.discriminator is not None and more.discriminator.config == MODEL
    assert_same(more.discriminator.params, state.d_params)
    assert_same(more.generator.params, state.g_params)
    single = next((run / "checkpoints").iterdir())
    assert_same(converted(single, tmp_path / "b.pkl").generator.params, state.g_ema)
    raw = converted(run, tmp_path / "c.pkl", "--which", "raw")
    assert_same(raw.generator.params, state.g_params)
    assert raw.raw is None and raw.discriminator is None
    assert "holds Gs alone, not the usual (G, D, Gs)" in capsys.readouterr().out
    path = tmp_path / "a.bin"
    assert converted(single, path, "--format", "safetensors").raw is None
    assert exported.is_exported(path)


def test_the_module_source_is_embedded(run: Path, tmp_path: Path) -> None:
    module = tmp_path / "networks.py"
    names = ("G_style", "G_mapping", "G_synthesis", "D_basic")
    text = "".join(f"def {name}(x): pass\n" for name in names)
    module.write_text(text, encoding="utf-8-sig")  # as NVIDIA's files are
    converted(run, tmp_path / "a.pkl", "--module-src", str(module))
    assert (tmp_path / "a.pkl").read_bytes().count(text.encode()) == 7
    module.write_text("x = 1")
    with pytest.raises(UserError, match="no function G_style"):
        converted(run, tmp_path / "a.pkl", "--module-src", str(module), "--overwrite")


# --- Mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["a.pt"],
            r"ends in none of \.safetensors, \.pkl, \.jaxexport, \.onnx; rename it or",
        ),
        ([".", "--format", "pkl"], "is a folder"),
        (["there.pkl"], "there.pkl exists; --overwrite replaces it"),
        (["source.pkl", "--overwrite"], "is the source"),
        (["a.pkl", "--dtype", "bfloat16"], "official pickles are float32"),
        (["a.safetensors", "--module-src", "x.py"], "holds no source text"),
        (["a.jaxexport", "--module-src", "x.py"], "a .jaxexport holds no source text"),
        (["a.jaxexport", "--discriminator"], "a sampler has none"),
        (["a.onnx", "--discriminator"], "a sampler has none"),
        (["a.onnx", "--dtype", "bfloat16"], r"\.onnx files are float32"),
        (["a.pkl", "--module-src", "there.pkl"], "is not a text file"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    flags: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLE, "source.pkl")
    Path("there.pkl").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(UserError, match=words):
        convert.main(["source.pkl", *flags])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source.pkl", "there.pkl"]
    assert Path("there.pkl").read_bytes() == b"\xff\xfe\xfd"


def test_what_the_source_lacks_is_said(tmp_path: Path) -> None:
    lean = tmp_path / "a.safetensors"
    convert.main([str(SAMPLE), str(lean)])
    with pytest.raises(UserError, match="has one generator; leave --which out"):
        convert.main([str(lean), str(tmp_path / "b.pkl"), "--which", "raw"])
    with pytest.raises(UserError, match="has none; leave --discriminator out"):
        convert.main([str(lean), str(tmp_path / "b.safetensors"), "--discriminator"])
    with pytest.raises(UserError, match=r"b\.pkl does not exist; give a run directory"):
        convert.main([str(tmp_path / "b.pkl"), str(tmp_path / "c.pkl")])


@pytest.mark.parametrize(
    ("path", "dtype"),
    [
        ("synthesis/block8/conv0/bias", "float32"),
        ("w_avg", "bfloat16"),
        ("noise/1", "float32"),
    ],
)
def test_a_file_that_does_not_read_back_the_same_is_not_left_behind(
    path: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = exported.save

    def worse(destination: Path, generator: Any, **kwargs: Any) -> None:
        arrays = bundle.generator_arrays(generator)
        scale = 1 + (2**-23 if dtype == "float32" else 2**-6)
        changed = arrays | {path: arrays[path] * np.float32(scale)}
        save(
            destination,
            bundle.build_generator(
                changed, generator.config, resolution=16, alpha=None
            ),
            **kwargs,
        )

    monkeypatch.setattr(exported, "save", worse)
    with pytest.raises(UserError, match=f"read back, generator/{path}"):
        converted(SAMPLE, tmp_path / "a.safetensors", "--dtype", dtype)
    assert list(tmp_path.iterdir()) == []
    old = tmp_path / "a.safetensors"
    old.write_bytes(b"what was there")
    with pytest.raises(UserError, match=f"read back, generator/{path}"):
        converted(SAMPLE, old, "--dtype", dtype, "--overwrite")
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == b"what was there"
