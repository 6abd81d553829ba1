"""Interpolations, morphs, growing networks and reconstructions."""

import hashlib

import jax
import numpy as np
import pytest

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.figures import growing_rows, reconstruction_sheet
from stylegan_jax.figures.between import interpolation, morph
from stylegan_jax.figures.studio import Studio, gain_for
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code
from stylegan_jax.io import images


def z_of(seed):
    return np.random.RandomState(seed).randn(1, 6).astype("f")


def test_interpolations_run_on_circles_in_z_and_on_lines_in_w(
    studio, generator, w_of, synthesize, cells, same
):
    film = interpolation(studio, [[0, 1], [2, 3]], frames=2, psi=1.0)
    strip = np.array(cells[0]).reshape(2, 2, 9, 16, 16, 3)  # path, space, t
    for path, (first, second) in enumerate([(0, 1), (2, 3)]):
        for space in range(2):
            same(strip[path, space, 0], synthesize(w_of(first)))
            same(strip[path, space, 8], synthesize(w_of(second)))
        w = (3 * w_of(first) + w_of(second)) / 4
        same(strip[path, 1, 2], synthesize(w))
        # The mapping takes z's direction only: half of the way bisects the angle.
        a, b = (z / np.linalg.norm(z) for z in (z_of(first), z_of(second)))
        halfway = np.asarray(generator.map(a + b))[0]
        same(strip[path, 0, 4], synthesize(halfway))
    # The film goes to the second seeds and back, all paths at once.
    frames = list(film.frames)
    assert len(frames) == film.count == 4
    assert len(cells) == 5 and len({frame.shape for frame in frames}) == 1
    for path, seeds in enumerate([(0, 1), (2, 3)]):
        same(cells[1][path], synthesize(w_of(seeds[0])))  # in z, above
        same(cells[3][2 + path], synthesize(w_of(seeds[1])))  # in w, below


def test_morphs_halve_latents_and_noise_and_come_back(
    studio, generator, w_of, synthesize, cells, same
):
    noise = [generator.draw_noise(jax.random.key(i), 1) for i in range(2)]
    first, second = (Code(w_of(i)[None], noise[i]) for i in range(2))
    film = morph(studio, [("a, b", first, second)], frames=3)
    strip = cells[0]
    same(strip[0], synthesize(w_of(0), noise[0]))
    same(strip[8], synthesize(w_of(1), noise[1]))
    halves = tuple((a + b) / 2 for a, b in zip(*noise, strict=True))
    same(strip[4], synthesize((w_of(0) + w_of(1)) / 2, halves))
    assert len(list(film.frames)) == film.count == 6
    frames = cells[1:]
    same(frames[3][0], strip[8])  # there ...
    same(frames[5][0], frames[1][0])  # ... and back the same way
    assert (frames[1][0] != frames[3][0]).any()


def test_growing_shows_each_checkpoint_enlarged(
    generator, monkeypatch, tmp_path, cells
):
    small = generator.replace(resolution=8, alpha=np.float32(0.5))
    for name in ("nimg_000016000", "nimg_000004000"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    networks = {"nimg_000004000": small, "nimg_000016000": generator}
    monkeypatch.setattr(loading, "load", lambda path: networks[path.name])
    found = growing_rows.checkpoints(tmp_path)
    assert [nimg for nimg, _ in found] == [4000, 16000]
    film = growing_rows.growing(tmp_path, [0, 1, 2], hold=2, batch_size=4, cell=16)
    strip = cells[0]  # a row per seed, a column per checkpoint
    assert len(strip) == 6
    (early,), (late,) = (
        Studio(g, batch_size=4).draw(Studio(g, batch_size=4).ws([seed], psi=0.7))
        for g, seed in [(small, 1), (generator, 2)]
    )
    assert early.shape == (8, 8, 3)
    enlarged = early.repeat(2, 0).repeat(2, 1)
    assert np.abs(strip[2].astype(int) - enlarged).max() <= 1
    assert np.abs(strip[5].astype(int) - late).max() <= 1
    frames = list(film.frames)
    assert len(frames) == film.count == 4
    np.testing.assert_array_equal(frames[0], frames[1])
    assert frames[1].shape == frames[2].shape and (frames[1] != frames[2]).any()


def test_growing_needs_a_run_with_checkpoints(tmp_path):
    with pytest.raises(UserError, match="0 checkpoints; give a run directory"):
        growing_rows.checkpoints(tmp_path)


@pytest.fixture
def inverted(tmp_path, generator, w_of):
    """A photograph and the code of another picture, as `invert` writes them."""
    image = np.random.RandomState(0).randint(0, 256, (16, 16, 3)).astype(np.uint8)
    images.write_png(tmp_path / "me.png", image)
    code = Code(w_of(3)[None], generator.draw_noise(jax.random.key(9), 1))
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    path = tmp_path / "codes" / "me.safetensors"
    about = {"file": str(tmp_path / "me.png"), "image": digest}
    path.parent.mkdir()
    codes.save(path, code, about)
    return path, image, code


def test_reconstructions_stand_beside_their_photographs(
    studio, generator, inverted, synthesize, w_of, cells, same, caplog
):
    path, image, code = inverted
    # Of pivotal tuning.
    tuned = jax.tree.map(lambda x: x + 1, generator)
    exported.save(path.with_name("me_network.safetensors"), tuned)
    read = reconstruction_sheet.read([path.parent], generator)
    assert "me_network.safetensors as the network" in caplog.text
    reconstruction_sheet.reconstruction(studio, read)
    (shown,) = cells
    np.testing.assert_array_equal(shown[0], image)
    same(shown[1], synthesize(w_of(3)))
    same(shown[2], synthesize(w_of(3), code.noise))
    change = np.abs(image.astype(float).mean(-1) - shown[2].astype(float).mean(-1))
    expected = np.rint(np.clip(gain_for(change) * change, 0, 255))
    np.testing.assert_allclose(shown[3][..., 0], expected, atol=1e-6)


def test_photographs_that_moved_or_changed_are_not_mixed_up(
    generator, inverted, tmp_path
):
    path, image, _ = inverted
    (tmp_path / "new").mkdir()
    (tmp_path / "me.png").rename(tmp_path / "new" / "me.png")
    with pytest.raises(UserError, match="`photos` says where"):
        reconstruction_sheet.read([path], generator)
    (found,) = reconstruction_sheet.read([path], generator, folder=tmp_path / "new")
    np.testing.assert_array_equal(found.image, image)
    images.write_png(tmp_path / "new" / "me.png", 255 - image)
    with pytest.raises(UserError, match=r"is not the image that .*me.safetensors"):
        reconstruction_sheet.read([path], generator, folder=tmp_path / "new")
    with pytest.raises(UserError, match="has no codes"):
        reconstruction_sheet.read([tmp_path / "new"], generator)
