"""The command that trains an encoder, and inversions by what it writes."""

import dataclasses
import functools
import json
import shutil

import numpy as np
import pytest

from stylegan_jax import loading, verbs
from stylegan_jax.commands import encoder, invert
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import encoder as encoders
from stylegan_jax.inversion.encoder_training import EncoderProgress
from stylegan_jax.inversion.inverter import invert as search
from stylegan_jax.inversion.recipes import recipe
from stylegan_jax.io import images
from stylegan_jax.metrics.store import ResultFile
from tests import tiny

PAIRS = [(i, j) for i in range(6) for j in range(i)]
SMALL = ["--steps", "30", "--batch-size", "2", "--channel-max", "4", "--hidden", "4"]


def train(network, outdir, *words):
    encoder.main([str(network), "--outdir", str(outdir), *SMALL, *map(str, words)])


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """With its encoder beside it."""
    folder = tmp_path_factory.mktemp("network")
    path = folder / "tiny.safetensors"
    exported.save(path, tiny.generator(tiny.MODEL_8))
    photos = tiny.write_photos(folder / "photos", 6, 8)
    words = ["--data.path", photos, "--held-out", 2]
    train(path, folder / "out", *words)
    shutil.copy(folder / "out/encoder.safetensors", folder / "tiny_encoder.safetensors")
    return path


def test_it_writes_an_encoder_and_scores_what_it_has_not_seen(network):
    out = network.parent / "out"
    names = {path.name for path in out.iterdir()}
    others = {"report.json", "report.md", "encoder.png", "losses.png"}
    assert names == {"encoder.safetensors"} | others
    report = json.loads((out / "report.json").read_text())
    assert report["scores"].keys() == {"samples", "images"}
    assert "| images | encoder |" in (out / "report.md").read_text()
    generator = loading.load(network)
    found = encoders.load(out / "encoder.safetensors")
    encoders.check(found, generator)
    assert found.shape.channel_max == found.shape.hidden == 4
    # The scores are of images that are not in training: two of the six.
    pictures = np.stack(
        [images.read_image(network.parent / f"photos/{i}.png") for i in range(6)]
    )
    steps = search(generator, pictures, recipe("instant", 8), encoder=found)
    drawn = [one.stages[0].picture for step in steps for one in step.finished]
    errors = np.mean((np.stack(drawn).astype(float) - pictures) ** 2, (1, 2, 3))
    pairs = [-10 * np.log10(errors[[i, j]] / 255**2).mean() for i, j in PAIRS]
    expected = report["scores"]["images"]["encoder"]["psnr"]
    assert np.abs(np.array(pairs) - expected).min() < 0.02


def test_searches_begin_at_what_lies_beside_the_network(network, tmp_path):
    photo = str(network.parent / "photos/0.png")
    main = [photo, "--network", str(network), "--perceptual", "none", "--steps", "2"]
    invert.main([*main, "--noise-steps", "0", "--outdir", str(tmp_path / "a")])
    about = codes.load(tmp_path / "a/0.safetensors").about
    assert about["start"] == "encoder"
    folder = str(network.parent / "photos")
    words = [folder, "--network", str(network), "--preset", "instant"]
    invert.main([*words, "--outdir", str(tmp_path / "b")])
    stored = codes.load(tmp_path / "b/0.safetensors")
    assert not (tmp_path / "b/0_loss.png").exists()
    assert stored.about["stages"][0]["iterations"] == 0
    # Of a folder as of one image, in the library and in the command.
    generator, picture = loading.load(network), images.read_image(photo)
    given = {"encoder": verbs.load_encoder(network)}
    alone = verbs.invert(generator, picture, "instant", **given)
    np.testing.assert_array_equal(alone.codes.ws, stored.code.ws)


def test_mistakes_are_named(network, tmp_path):
    other = tmp_path / "other.safetensors"
    exported.save(other, tiny.generator(tiny.MODEL_8, seed=5))
    photo = str(network.parent / "photos/0.png")
    main = [photo, "--preset", "instant", "--outdir", str(tmp_path / "a"), "--network"]
    with pytest.raises(UserError, match="no encoder of this network"):
        invert.main([*main, str(other)])
    beside = network.with_name("tiny_encoder.safetensors")
    with pytest.raises(UserError, match="encoder is of another network"):
        invert.main([*main, str(other), "--encoder", str(beside)])
    with pytest.raises(UserError, match="no encoder lies beside"):
        verbs.load_encoder(other)
    with pytest.raises(UserError, match="6 images, and 6 are held out"):
        photos = network.parent / "photos"
        train(network, tmp_path / "b", "--data.path", photos, "--held-out", 6)
    with pytest.raises(UserError, match="--features goes with --perceptual own"):
        train(network, tmp_path / "b", "--features", "x.npz")
    with pytest.raises(UserError, match="channel_base is 32768"):
        train(network, tmp_path / "b", "--channel-base", 32768)
    instant = [*main, str(network), "--encoder", str(beside)]
    with pytest.raises(UserError, match="add encoder to --starts"):
        invert.main([*instant, "--starts", "mean"])
    with pytest.raises(UserError, match="instant has no search to film"):
        invert.main([*instant, "--video"])
    with pytest.raises(UserError, match="searches by L-BFGS"):
        invert.main([*instant, "--steps", "3", "--learning-rate", "0.1"])
    plain = dataclasses.replace(tiny.MODEL_8, use_styles=False)
    exported.save(other, tiny.generator(plain))
    with pytest.raises(UserError, match="needs a network with styles"):
        invert.main([*main, str(other)])


def test_training_goes_on_after_an_interruption_and_stops_at_nan(
    network, tmp_path, monkeypatch
):
    """Of a network of one channel, which decides how photographs are read."""
    grey, train_encoder = tmp_path / "grey.safetensors", encoder.train_encoder
    model = dataclasses.replace(tiny.MODEL_8, num_channels=1)
    exported.save(grey, tiny.generator(model))
    words = [grey, tmp_path / "out", "--data.path", network.parent / "photos"]
    words += ["--held-out", 2]

    def broken(*args, **options):
        yield EncoderProgress(25, np.nan, {}, None, ())

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "train_encoder", broken)
        with pytest.raises(UserError, match="after 25 steps is not finite; give a sm"):
            train(*words)
    often = functools.partialmethod(ResultFile.save, now=True)
    monkeypatch.setattr(ResultFile, "save", often)
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "_samples", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(*words)
    begun = []

    def noted(*args, state, **options):
        begun.append(int(state[0]))
        return train_encoder(*args, state=state, **options)

    monkeypatch.setattr(encoder, "train_encoder", noted)
    train(*words)
    assert begun == [25] and not (tmp_path / "out/unfinished").exists()
    found = encoders.load(tmp_path / "out/encoder.safetensors")
    assert found.shape.num_channels == 1
