"""The command: files in, files out, mistakes named and the rest still done."""

import json

import jax
import numpy as np
import pytest

from stylegan_jax import loading
from stylegan_jax.commands import invert
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.io import images
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

MODEL = ModelConfig(
    resolution=16, z_dim=6, w_dim=8, mapping_layers=1, channel_base=64, channel_max=4
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    generator = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), MODEL)
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 0.3 if path[-1].key == "noise_weight" else x,
        generator.params,
    )
    exported.save(path, generator.replace(params=params))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A wide picture, one of another size, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.RandomState(0)
    images.write_png(folder / "a.png", random.randint(0, 256, (16, 20, 3), np.uint8))
    images.write_png(folder / "b.png", random.randint(0, 256, (64, 64, 1), np.uint8))
    (folder / "c.jpg").write_bytes(b"no picture")
    return folder


def run(network, outdir, *words):
    some = ["--perceptual", "none", "--steps", "3", "--noise-steps", "2"]
    main = ["--network", str(network), "--outdir", str(outdir), *some]
    invert.main([*map(str, words[:1]), *main, *map(str, words[1:])])


@pytest.fixture(scope="module")
def outdir(network, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    with pytest.raises(UserError, match="1 of 3 images could not be inverted"):
        run(network, folder, photos, "--video")
    return folder


def test_each_image_gets_its_files_and_the_broken_one_is_named(
    outdir, network, photos, capsys
):
    names = {path.name for path in outdir.iterdir()}
    each = ("{}.safetensors", "{}.png", "{}_stages.png", "{}_loss.png", "{}.mp4")
    expected = {name.format(x) for x in "ab" for name in each}
    assert names == expected | {"report.json", "report.md"}
    generator = loading.load(network)
    for name in "ab":
        code, about = codes.load(outdir / f"{name}.safetensors", generator)
        drawn = images.to_uint8(np.asarray(codes.draw(generator, code)))[0]
        picture = images.read_image(outdir / f"{name}.png")
        assert np.abs(drawn.astype(int) - picture).max() <= 1
        # The score is that of the files: the central square, the mean over areas.
        photo = images.read_image(photos / f"{name}.png").astype(float)
        target = (
            photo[:, 2:18]
            if name == "a"
            else np.rint(photo.reshape(16, 4, 16, 4, 3).mean((1, 3)))
        )
        error = np.mean((picture - target) ** 2)
        psnr = 10 * np.log10(255**2 / error)
        assert about["stages"][-1]["psnr"] == pytest.approx(psnr, abs=1e-3)
        assert [stage["iterations"] for stage in about["stages"]] == [3, 2]
        assert about["recipe"]["stages"][1]["weights"]["pixel"] == 1e-5
        assert about["seed"] == 0 and about["start"] == "mean"
        assert about["file"] == str(photos / f"{name}.png")
        left = {"a": 1.5, "b": -0.5}[name]
        assert about["quad"][0] == [left, -0.5]
        assert about["perceptual weights"] is None
    report = json.loads((outdir / "report.json").read_text())
    assert report["images"]["b"]["stages"] == about["stages"]
    assert "| mean |" in (outdir / "report.md").read_text()


def test_resume_takes_what_is_there_and_only_that(outdir, network, photos, capsys):
    file = photos / "a.png"
    with pytest.raises(UserError, match="has results already; --resume"):
        run(network, outdir, file)
    before = (outdir / "a.safetensors").read_bytes()
    run(network, outdir, file, "--resume")
    assert (outdir / "a.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="made of another recipe and seed"):
        run(network, outdir, file, "--resume", "--seed", 1)


def test_a_code_can_be_where_another_search_begins(outdir, network, photos, tmp_path):
    code = outdir / "a.safetensors"
    run(network, tmp_path, photos / "a.png", "--code", code, "--noise-steps", 0)
    found, about = codes.load(tmp_path / "a.safetensors")
    before = codes.load(code)
    assert about["start"] == "given" and len(about["stages"]) == 1
    last = before.about["stages"][-1]["loss"]
    assert about["stages"][0]["loss"] <= last * 1.01
    for a, b in zip(found.noise, before.code.noise, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps 0 is below 1"),
        (["--features", "x.npz"], "goes with --perceptual own"),
        (["--landmarks", "x.npy"], "--landmarks goes with --align"),
        (["--landmarks", "x.npy", "--align"], "x.npy: there is no such file or folder"),
        (["--pixel-weight", "-1"], "pixel weight is -1"),
        (["--class", "2"], "this network is unconditional, leave --class out"),
        (["--learning-rate", "0"], "learning rate 0"),
    ],
)
def test_mistakes_are_named(network, photos, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        run(network, tmp_path / "out", photos / "a.png", *words)


def test_without_weights_the_way_out_is_said(network, photos, tmp_path):
    words = ["--vgg16", str(tmp_path / "none.pth"), "--outdir", str(tmp_path / "out")]
    with pytest.raises(UserError, match="--perceptual none"):
        invert.main([str(photos / "a.png"), "--network", str(network), *words])


def test_missing_and_empty_places_are_named(network, tmp_path):
    with pytest.raises(UserError, match="has no images"):
        run(network, tmp_path / "out", tmp_path)
    with pytest.raises(UserError, match="1 of 1 images"):
        run(network, tmp_path / "out", tmp_path / "none.png")


def test_a_network_that_knows_people_adds_a_score(
    network, photos, tmp_path, monkeypatch
):
    who = FrozenNetwork("who", 3, {}, lambda _, x: x.mean((1, 2)) + 1.0)
    monkeypatch.setattr(invert.own, "load", lambda path: who)
    words = ["--identity", "who.jaxexport", "--noise-steps", "0"]
    run(network, tmp_path, photos / "a.png", *words)
    (stage,) = codes.load(tmp_path / "a.safetensors").about["stages"]
    assert 0.9 < stage["identity"] < 1
    assert "w: identity" in (tmp_path / "report.md").read_text()


def test_photographs_are_never_replaced_and_every_one_gets_its_result(
    network, tmp_path, capsys
):
    """Names of plots and of one another, in both cases, and one folder for both."""
    folder, random = tmp_path / "photos", np.random.RandomState(0)
    names = ["a.png", "A.jpg", "a.bmp", "a_loss.png", "report.png"]
    for name in names:
        pixels = random.randint(0, 256, (16, 16, 3), np.uint8)
        images.write_png(folder / name, pixels)  # readers go by the content
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match="is the folder of the inputs"):
        run(network, folder, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    out = folder / "out"
    run(network, out, folder)
    found = json.loads((out / "report.json").read_text())["images"]
    files = sorted(about["file"] for about in found.values())
    assert files == sorted(str(folder / name) for name in names)
    keys = [path.name.casefold() for path in out.iterdir()]
    assert len(set(keys)) == len(keys) == 4 * len(names) + 2
    assert "is the name of another result" in capsys.readouterr().err
    # Beside a photograph of the same name, and the same command again.
    (folder / "a.safetensors").write_text("not ours")
    for _ in range(2):
        run(network, folder, folder / "a.bmp", "--resume")
        assert (folder / "a_.safetensors").exists()
    assert {path: path.read_bytes() for path in before} == before
    assert (folder / "a.safetensors").read_text() == "not ours"
