"""Uploads and strokes: what becomes of them, and what is said to bad ones."""

import struct
import zlib

import numpy as np
import pytest

from stylegan_jax.demo import photo_sources
from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError
from stylegan_jax.io import images


def test_a_photograph_is_its_central_square():
    photo = np.random.RandomState(0).randint(0, 256, (8, 12, 3)).astype(np.uint8)
    found = photo_sources.read_photo(images.encode_png(photo), 4, 3, find_face=False)
    cells = photo[:, 2:10].reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert found.shape == (4, 4, 3) and np.abs(found - cells).max() <= 0.5


def test_what_is_no_photograph_is_refused():
    grey = images.encode_png(np.full((64, 64, 3), 90, np.uint8))
    for nothing in (b"text", b"", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(UserError, match=r"photograph cannot be read as a picture"):
            photo_sources.read_photo(nothing, 8, 3, find_face=False)
    with pytest.raises(UserError, match=r"no face|needs dlib"):
        photo_sources.read_photo(grey, 8, 3, find_face=True)


def png_of(width, height, depth=1, samples=1):
    """A picture of one colour, some kilobytes however large."""
    row = b"\0" + bytes(-(-width * depth * samples // 8))
    deflate = zlib.compressobj(9)
    data = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    kind = {1: 0, 4: 6}[samples]  # grey, colours with alpha
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d))
        for name, d in [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    )


def test_pictures_are_measured_before_they_are_decoded(monkeypatch):
    small = photo_sources.read_layer(png_of(64, 64), 16)
    assert small.shape == (16, 16, 4) and (small[..., 3] == 255).all()
    assert photo_sources.read_layer(png_of(16, 16), 16).shape == (16, 16, 4)
    monkeypatch.setattr(images, "read_image", None)
    with pytest.raises(UserError, match=r"layer is 65 x 64 pixels, over 0.0 mega"):
        photo_sources.read_layer(png_of(65, 64), 16)
    with pytest.raises(UserError, match=r"photograph is 8001 x 5000 pixels, over 40"):
        photo_sources.read_photo(png_of(8001, 5000), 8, 3, find_face=False)


def test_faces_are_cut_out_so_that_they_lie_as_in_the_frame():
    # Of a face that leans: eyes and mouth, and the corners of FFHQ's crop.
    right, down = np.array([0.8, 0.6]), np.array([-0.6, 0.8])
    corner, side = np.array([40.0, 30.0]), 200.0
    quad = corner + side * np.array([0 * right, down, right + down, right])

    def place(frame, quad):
        """A middle of the eyes, the eyes and a mouth, in a crop at `quad`."""
        eyes = np.array(frame.eyes)
        half = np.array([frame.eye_distance / 2, 0])
        mouth = eyes + np.array([0, frame.eye_to_mouth])
        axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]])
        points = np.stack([eyes, eyes - half, eyes + half, mouth])
        return quad[0] + points @ axes

    np.testing.assert_allclose(photo_sources.fitted(quad, masks.FFHQ), quad)
    found = photo_sources.fitted(quad, masks.PORTRAITS)
    wanted, got = place(masks.FFHQ, quad), place(masks.PORTRAITS, found)
    np.testing.assert_allclose(got[0], wanted[0])
    # The two faces differ in shape: one is as much too wide as too short.
    wide = np.linalg.norm(got[2] - got[1]) / np.linalg.norm(wanted[2] - wanted[1])
    high = np.linalg.norm(got[3] - got[0]) / np.linalg.norm(wanted[3] - wanted[0])
    np.testing.assert_allclose(wide * high, 1)
    assert 1 < wide < 1.05
    np.testing.assert_allclose((found[3] - found[0]) @ down, 0, atol=1e-9)


def test_strokes_shrink_to_the_networks_pixels():
    picture = np.full((4, 4, 3), 100, np.uint8)
    layer = np.zeros((16, 16, 4), np.uint8)
    layer[0:4, 4:8] = (200, 40, 0, 255)  # the whole pixel (0, 1)
    layer[4:8, 0:2] = (10, 20, 30, 255)  # half of (1, 0)
    layer[12, 12] = (0, 0, 0, 255)  # a sixteenth of (3, 3)
    painted = photo_sources.strokes([layer], picture)
    np.testing.assert_allclose(painted[0, 1], [200, 40, 0, 1], atol=1e-3)
    np.testing.assert_allclose(painted[1, 0], [10, 20, 30, 0.5], atol=1e-3)
    np.testing.assert_allclose(painted[3, 3], [0, 0, 0, 1 / 16], atol=1e-3)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 1
    np.testing.assert_array_equal(photo_sources.as_mask(painted)[0, ..., 0], expected)
    drawn = photo_sources.as_picture(painted, picture)
    np.testing.assert_array_equal(drawn[1, 0], [10, 20, 30])
    np.testing.assert_array_equal(drawn[3, 3], picture[3, 3])


def test_layers_lie_on_each_other_and_none_is_no_stroke():
    picture = np.zeros((2, 2, 3), np.uint8)
    below, above = np.zeros((2, 4, 4, 4), np.uint8)
    below[:2, :2] = (100, 0, 0, 255)
    above[:2, :2] = (0, 100, 0, 128)
    painted = photo_sources.strokes([below, above], picture)
    share = 128 / 255
    np.testing.assert_allclose(
        painted[0, 0], [100 * (1 - share), 100 * share, 0, 1], atol=1e-3
    )
    for nothing in ([], [np.zeros((4, 4, 4), "u1")]):
        assert not photo_sources.strokes(nothing, picture).any()


def test_grey_networks_get_grey_strokes():
    layer = np.zeros((4, 4, 4), np.uint8)
    layer[:2, :2] = (30, 60, 90, 255)
    painted = photo_sources.strokes([layer], np.zeros((2, 2, 1), np.uint8))
    np.testing.assert_allclose(painted[0, 0], [60, 1], atol=1e-3)
    assert not painted[1:].any()
