"""The command: files in, files out, mistakes named and the rest still done."""

import json

import numpy as np
import pytest

from stylegan_jax import loading
from stylegan_jax.commands import invert
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.io import fetch, images
from tests import tiny


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    exported.save(path, tiny.generator(tiny.MODEL_8))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A wide picture, one of another size, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.RandomState(0)
    images.write_png(folder / "a.png", random.randint(0, 256, (8, 12, 3), np.uint8))
    images.write_png(folder / "b.png", random.randint(0, 256, (32, 32, 1), np.uint8))
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


def test_each_image_gets_its_files_and_the_broken_one_is_named(outdir, network, photos):
    names = {path.name for path in outdir.iterdir()}
    each = ("{}.safetensors", "{}.png", "{}_stages.png", "{}_loss.png", "{}.mp4")
    expected = {name.format(x) for x in "ab" for name in each}
    assert names == expected | {"report.json", "report.md"}
    report = json.loads((outdir / "report.json").read_text())
    assert "| mean |" in (outdir / "report.md").read_text()
    generator = loading.load(network)
    # The score is that of the files: the central square, the mean over areas.
    a, b = (images.read_image(photos / f"{x}.png").astype(float) for x in "ab")
    squares = a[:, 2:10], np.rint(b.reshape(8, 4, 8, 4, 3).mean((1, 3)))
    for name, target, left in zip("ab", squares, (1.5, -0.5), strict=True):
        code, about = codes.load(outdir / f"{name}.safetensors", generator)
        picture = images.read_image(outdir / f"{name}.png")
        drawn = codes.draw_pictures(generator, code)[0].astype(int)
        assert np.abs(drawn - picture).max() <= 1
        psnr = 10 * np.log10(255**2 / np.mean((picture - target) ** 2))
        assert about["stages"][-1]["psnr"] == pytest.approx(psnr, abs=1e-3)
        assert [stage["iterations"] for stage in about["stages"]] == [3, 2]
        assert about["recipe"]["stages"][1]["weights"]["pixel"] == 1e-5
        assert about["file"] == str(photos / f"{name}.png")
        assert about["quad"][0] == [left, -0.5]
        others = {"seed": 0, "start": "mean", "perceptual weights": None}
        assert about == about | others
        assert report["images"][name]["stages"] == about["stages"]


def test_resume_takes_what_is_there_and_only_that(outdir, network, photos):
    file = photos / "a.png"
    with pytest.raises(UserError, match="has results already; --resume"):
        run(network, outdir, file)
    before = (outdir / "a.safetensors").read_bytes()
    run(network, outdir, file, "--resume")
    assert (outdir / "a.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="made of another recipe and seed"):
        run(network, outdir, file, "--resume", "--seed", 1)


@pytest.mark.thorough
def test_a_code_can_begin_and_a_network_that_knows_people_adds_a_score(
    outdir, network, photos, tmp_path, monkeypatch
):
    who = FrozenNetwork("who", 3, {}, lambda _, x: x.mean((1, 2)) + 1.0)
    monkeypatch.setattr(invert.own, "load", lambda path: who)
    code = outdir / "a.safetensors"
    words = ["--code", code, "--noise-steps", 0, "--identity", "who.jaxexport"]
    run(network, tmp_path, photos / "a.png", *words)
    found, about = codes.load(tmp_path / "a.safetensors")
    before = codes.load(code)
    (stage,) = about["stages"]
    assert about["start"] == "given"
    assert stage["loss"] <= before.about["stages"][-1]["loss"] * 1.01
    for a, b in zip(found.noise, before.code.noise, strict=True):
        np.testing.assert_array_equal(a, b)
    assert 0.9 < stage["identity"] < 1
    assert "w: identity" in (tmp_path / "report.md").read_text()


def test_without_vgg16_the_included_network_compares_and_nothing_is_fetched(
    network, photos, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "fetch", lambda *_, **__: pytest.fail("fetches"))
    out = tmp_path / "out"
    run(network, out, photos / "a.png", "--perceptual", "preset")
    assert caplog.text.count("the included network, since VGG16's weights") == 1
    generator = loading.load(network)
    about = codes.load(out / "a.safetensors", generator).about
    latents, noise = (stage["weights"] for stage in about["recipe"]["stages"])
    assert (latents["included"], latents["perceptual"]) == (0.01, 0)
    assert (noise["included"], noise["pixel"]) == (0, 1e-5)
    assert about["perceptual weights"]


@pytest.mark.thorough
def test_a_tuned_network_draws_the_image_from_its_code(network, photos, tmp_path):
    words = ["--preset", "pivotal", "--tuning-steps", 3, "--tuning-rate", 0.01]
    run(network, tmp_path, photos / "a.png", *words)
    tuned = loading.load(tmp_path / "a_network.safetensors")
    code, about = codes.load(tmp_path / "a.safetensors", tuned)
    picture = images.read_image(tmp_path / "a.png").astype(int)
    assert np.abs(codes.draw_pictures(tuned, code)[0] - picture).max() <= 1
    before, after = about["stages"]
    assert (before["name"], after["name"]) == ("w", "tuning")
    assert after["iterations"] == 3 and after["psnr"] > before["psnr"]
    untouched = codes.draw_pictures(loading.load(network), code)[0]
    assert np.abs(untouched - picture).max() > 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tuning-steps", "9"], "go with --preset pivotal"),
        (["--steps", "0"], "--steps 0 is below 1"),
        (["--features", "x.npz"], "goes with --perceptual own"),
        (["--landmarks", "x.npy"], "--landmarks goes with --align"),
        (["--landmarks", "x.npy", "--align"], "x.npy: there is no such file or folder"),
        (["--pixel-weight", "-1"], "--pixel-weight -1.0 is below 0"),
        (["--class", "2"], "this network is unconditional, leave --class out"),
        (["--learning-rate", "0"], "learning rate 0"),
        (["--perceptual", "vgg16", "--vgg16", "none.pth"], "--perceptual none"),
    ],
)
def test_mistakes_are_named(network, photos, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        run(network, tmp_path / "out", photos / "a.png", *words)


def test_missing_and_empty_places_are_named(network, tmp_path):
    with pytest.raises(UserError, match="has no images"):
        run(network, tmp_path / "out", tmp_path)
    with pytest.raises(UserError, match="1 of 1 images"):
        run(network, tmp_path / "out", tmp_path / "none.png")


@pytest.mark.thorough
def test_photographs_are_never_replaced_and_every_one_gets_its_result(
    network, tmp_path, caplog
):
    """Names of plots and of one another, in both cases, and one folder for both."""
    folder, random = tmp_path / "photos", np.random.RandomState(0)
    names = ["a.png", "A.jpg", "a.bmp", "a_loss.png", "report.png"]
    for name in names:
        pixels = random.randint(0, 256, (8, 8, 3), np.uint8)
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
    assert "is the name of another result" in caplog.text
    # Beside a photograph of the same name, and the same command again.
    (folder / "a.safetensors").write_text("not ours")
    for _ in range(2):
        run(network, folder, folder / "a.bmp", "--resume")
        assert (folder / "a_.safetensors").exists()
    assert {path: path.read_bytes() for path in before} == before
    assert (folder / "a.safetensors").read_text() == "not ours"
