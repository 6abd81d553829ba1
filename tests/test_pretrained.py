"""The network that comes with the package."""

import shutil
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from PIL import Image

import stylegan_jax
from stylegan_jax.commands import edit
from stylegan_jax.data.portraits import source
from stylegan_jax.editing import direction_files
from stylegan_jax.errors import UserError
from stylegan_jax.interop import pretrained

ATTRIBUTES = ["eyeglasses", "smile", "pose", "age", "gender"]


@pytest.fixture(scope="module")
def generator():
    return stylegan_jax.load("portraits")


@pytest.fixture(scope="module")
def samples(generator):
    z = np.random.RandomState(0).randn(64, generator.config.z_dim)
    return np.asarray(jax.jit(generator.sample)(z))


def test_its_directions_lie_beside_it_whatever_folder_is_called_so(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert pretrained.names() == ("faces", "faces64", "portraits")
    assert sum(path.stat().st_size for path in pretrained.FOLDER.iterdir()) < 8 << 20
    Path("portraits").mkdir()
    assert direction_files.beside("portraits") is not None
    assert direction_files.beside("name:portraits") is not None


@pytest.mark.thorough
def test_it_draws_what_it_was_trained_on(samples):
    chex.assert_shape(samples, (64, 32, 32, 3))
    real = np.stack(
        [
            source.draw(source.attributes(i), resolution=32, detail_seed=i)
            for i in range(64)
        ]
    ).astype(np.float32)
    real = real / 127.5 - 1
    apart = np.abs(samples.mean(axis=0) - real.mean(axis=0)).mean()
    assert apart < 0.15
    np.testing.assert_allclose(
        samples.std(axis=0).mean(), real.std(axis=0).mean(), rtol=0.25
    )


def test_it_has_directions_of_five_attributes(generator):
    path = direction_files.beside(Path("portraits"))
    assert path is not None
    found = direction_files.load_directions(path)
    assert [direction.name for direction in found][:5] == ATTRIBUTES
    for direction in found:
        assert direction.space == "w" and direction.std is not None
        assert np.shape(direction.vector)[-1] == generator.config.w_dim


def test_real_faces_smile_with_the_mouth():
    generator = stylegan_jax.load("faces64")
    smile = stylegan_jax.editing.directions_of("faces64")["smile"]
    assert smile.std is not None and smile.layers == (4, 5, 6, 7)
    z = np.random.RandomState(0).randn(16, generator.config.z_dim).astype(np.float32)
    ws = stylegan_jax.editing.code_of_z(generator, z, psi=0.7).ws
    moved = stylegan_jax.editing.apply(ws, smile, 4 * smile.std, distance="relative")
    change = np.abs(generator.synthesize(moved) - generator.synthesize(ws)).mean((0, 3))
    # Random directions of these layers change the mouth by 0.89 to 0.94 of the face.
    face, mouth = change[24:54, 16:48].mean(), change[40:54, 20:44].mean()
    assert mouth > 1.1 * face and 5 < 127.5 * face < 30  # levels


@pytest.mark.thorough
def test_edit_finds_its_directions(tmp_path):
    edit.main(
        f"attribute portraits seed:1 --name smile --amounts=0,2 --outdir {tmp_path}"
        " --perceptual none".split()
    )
    before, after = (
        np.asarray(Image.open(path), np.float32)
        for path in sorted(tmp_path.glob("*smile+[02].png"))
    )
    assert np.abs(before - after).mean() > 1


def test_a_file_that_no_directions_lie_beside_asks_for_them(tmp_path):
    file = tmp_path / "mine.safetensors"
    network = pretrained.network("portraits")
    assert network is not None
    shutil.copy(network, file)
    with pytest.raises(UserError, match="--directions is missing"):
        edit.main(
            f"attribute {file} seed:1 --name smile --outdir {tmp_path}"
            " --perceptual none".split()
        )


@pytest.mark.parametrize("name", pretrained.names())
def test_the_encoder_finds_samples_in_one_pass(name):
    encoder, generator = stylegan_jax.load_encoder(name), stylegan_jax.load(name)
    seeds = range(10_000, 10_016)  # others than those of its training, which are random
    pictures = stylegan_jax.sample(generator, seeds, psi=1.0)
    found = stylegan_jax.invert(generator, pictures, "instant", encoder=encoder)
    assert found.psnr.mean() > 28  # the mean of w: about 17
