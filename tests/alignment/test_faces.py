"""Faces of real people; needs the extra `align` and reference data, else skipped."""

import importlib.util
import sys

import numpy as np
import pytest

from stylegan_jax.alignment import faces, ffhq
from stylegan_jax.alignment.crops import NoFaceError, align
from stylegan_jax.io import images, resampling


@pytest.fixture
def landmarker():
    try:
        return faces.load_landmarker()
    except faces.MissingLandmarkerError:
        pytest.skip("the extra `align` is not installed")


@pytest.fixture
def portrait(shared_dir):
    # Face Research Lab London Set, CC BY 4.0.
    return images.read_image(shared_dir / "data/london256/001_03_neutral.jpg")


def scene(portrait, scale, degrees, shape, centre):
    """Lays a portrait on grey; returns it and where the portrait's corners lie."""
    angle, side = np.radians(degrees), len(portrait)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    offset = side / 2 - back @ np.add(centre, 0.5) / scale
    matrix = np.concatenate([back / scale, offset[:, None]], axis=1)
    canvas = resampling.warp_affine(portrait, matrix, shape)
    inside = resampling.warp_affine(np.full_like(portrait, 255), matrix, shape)
    corners = side / 2 * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    return np.where(inside, canvas, 128).astype(
        np.uint8
    ), centre + scale * corners @ back


@pytest.mark.parametrize(
    ("scale", "degrees", "centre"),
    [(1.0, 0, (300, 260)), (1.6, -25, (330, 300)), (1.3, 90, (290, 280))],
)
def test_an_aligned_portrait_is_found_again(
    landmarker, portrait, scale, degrees, centre
):
    photograph, corners = scene(portrait, scale, degrees, (560, 640), centre)
    (found,) = align(photograph, size=256, landmarker=landmarker)
    # The portrait itself was cut out along other landmarks, of a larger picture.
    distance = np.hypot(*(found.quad - corners).T).max() / scale
    assert distance < 8  # of its 256 pixels; measured 3.6 at most
    exact = ffhq.crop_quad(photograph, corners, 256).astype(np.float64)
    error = np.square(exact[8:-8, 8:-8] - portrait[8:-8, 8:-8]).mean()
    assert 10 * np.log10(255**2 / error) > 32


def test_every_face_of_a_photograph_is_found(landmarker, portrait):
    photograph = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    found = align(photograph, size=64, landmarker=landmarker)
    assert len(found) == 2
    centres = sorted(face.quad.mean(axis=0)[0] for face in found)
    assert 100 < centres[0] < 156 < 356 < centres[1] < 412


def test_a_picture_without_a_face_says_so(landmarker):
    y, x = np.mgrid[:200, :240]
    waves = 127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 13)
    picture = np.repeat(waves[:, :, None], 3, axis=2).astype(np.uint8)
    with pytest.raises(NoFaceError, match="no face found"):
        align(picture, size=64, landmarker=landmarker)


def test_without_the_library_the_way_to_install_it_is_named(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "dlib" else find_spec(name, *rest),
    )
    monkeypatch.delitem(sys.modules, "dlib", raising=False)
    faces.load_landmarker.cache_clear()
    with pytest.raises(faces.MissingLandmarkerError, match=r"stylegan_jax\[align\]"):
        align(np.zeros((64, 64, 3), np.uint8), size=64)


@pytest.mark.parametrize("turn", [0, 45, 90, -135])
def test_points_of_a_turned_picture_lead_back(turn):
    generator = np.random.default_rng(0)
    picture = np.zeros((90, 120, 3), np.uint8)
    y, x = generator.integers(20, 70), generator.integers(20, 100)
    picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    turned, back = faces._transformed(picture, 400, turn)
    where = np.argwhere(turned[:, :, 0] > 128).mean(axis=0)[::-1] + 0.5
    np.testing.assert_allclose(back @ [*where, 1], (x + 0.5, y + 0.5), atol=0.1)
    assert (turned.astype(float).sum() / 2**2) == pytest.approx(picture.sum(), rel=0.02)
