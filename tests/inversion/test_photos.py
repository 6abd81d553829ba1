"""Photographs on their way in: which part is taken, and what is rejected."""

import numpy as np
import pytest

from stylegan_jax.alignment import crops, faces, ffhq
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import photos
from stylegan_jax.io import images

FACE = np.array([[14.0, 12.0], [22.0, 12.0], [15.0, 20.0], [21.0, 20.0]])


@pytest.fixture
def folder(tmp_path):
    """Two smooth photographs, and what is no picture."""
    y, x = np.mgrid[:40, :48]
    photo = np.stack([4 * x, 5 * y, 2 * (x + y)], 2).astype(np.uint8)
    for name in ("a", "b"):
        images.write_png(tmp_path / f"{name}.png", photo)
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    return tmp_path


def read(folder, **options):
    return photos.read(photos.listed([folder]), 8, 3, **{"aligned": True} | options)


def test_the_quad_says_where_the_central_square_lies(folder):
    (found, _), rejected = read(folder, aligned=False)
    assert [file.path.name for file in rejected] == ["c.jpg"]
    corners = [[3.5, -0.5], [3.5, 39.5], [43.5, 39.5], [43.5, -0.5]]
    assert found.quad.tolist() == corners
    photo = images.read_image(folder / "a.png", 3)
    again = ffhq.crop_quad(photo, found.quad, 8)[1:-1, 1:-1]  # edges are blurred
    np.testing.assert_allclose(again, found.pixels[1:-1, 1:-1].astype(int), atol=2)


def test_landmarks_stand_in_for_looking_for_faces(folder, tmp_path):
    file, place = tmp_path / "a.npy", tmp_path / "points"
    np.save(file, FACE)
    place.mkdir()
    np.savetxt(place / "a.txt", FACE)
    found, rejected = read(folder, landmarks=place)
    reasons = {file.path.name: file.reason for file in rejected}
    assert "has no landmarks of it: b with .npy, .json" in reasons["b.png"]
    one, _ = photos.read([folder / "a.png"], 8, 3, aligned=True, landmarks=file)
    for photo in (*found, *one):
        np.testing.assert_allclose(photo.quad, ffhq.face_quad(FACE))
        expected = ffhq.crop_quad(images.read_image(photo.path, 3), photo.quad, 8)
        np.testing.assert_array_equal(photo.pixels, expected)
    assert len(found) == len(one) == 1


def test_a_photograph_without_a_face_does_not_stop_the_others(folder, monkeypatch):
    answers = iter([[], [FACE]])
    monkeypatch.setattr(crops, "load_landmarker", lambda: lambda _: next(answers))
    found, rejected = read(folder)
    assert [photo.name for photo in found] == ["b"]
    reasons = {file.path.name: file.reason for file in rejected}
    assert "no face found" in reasons["a.png"] and "c.jpg" in reasons


def test_what_goes_for_all_images_stops_at_once(folder, tmp_path, monkeypatch):
    def missing():
        raise faces.MissingLandmarkerError("pip install 'stylegan_jax[align]'")

    monkeypatch.setattr(crops, "load_landmarker", missing)
    with pytest.raises(UserError, match="pip install"):
        read(folder)
    np.save(tmp_path / "one.npy", FACE)
    with pytest.raises(UserError, match="landmarks of one image, and 3 are given"):
        read(folder, landmarks=tmp_path / "one.npy")
