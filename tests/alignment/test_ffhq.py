import numpy as np
import pytest

from stylegan_jax.alignment import ffhq
from stylegan_jax.alignment.crops import NoFaceError, align
from stylegan_jax.alignment.landmarks import LandmarkError
from stylegan_jax.errors import UserError
from stylegan_jax.io import resampling
from tests.alignment.pictures import blobs, psnr, square

UPRIGHT = np.array([(40.0, 50), (60, 50), (42, 75), (58, 75)])


def test_quad_of_an_upright_face():
    # Eyes 20 apart, the mouth 25 below: 1.8 * 25 = 45 is more than 2 * 20.
    quad = ffhq.face_quad(UPRIGHT)
    centre = np.array([50, 50 + 2.5])
    corners = [(-45, -45), (-45, 45), (45, 45), (45, -45)]
    np.testing.assert_allclose(quad, centre + corners, atol=1e-12)
    assert ffhq.quad_side(quad) == pytest.approx(90)
    # Eyes 20 apart, the mouth 10 below: 2 * 20 = 40.
    near = UPRIGHT - [(0, 0), (0, 0), (0, 15), (0, 15)]
    assert ffhq.quad_side(ffhq.face_quad(near)) == pytest.approx(80)


def test_quads_of_skewed_and_turned_faces_agree_with_complex_arithmetic():
    generator = np.random.default_rng(5)
    for _ in range(20):
        face = UPRIGHT + generator.normal(0, 4, (4, 2))
        turn, shift = generator.normal(0, 3, (2, 2)) @ [1, 1j]
        points = face @ [1, 1j] * turn + 100 * shift
        left, right, mouth_left, mouth_right = points
        eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
        across, down = right - left, mouth - eyes
        x = across - 1j * down  # -1j turns "down" to "right" where y points down
        x *= max(2 * abs(across), 1.8 * abs(down)) / abs(x)
        centre = eyes + 0.1 * down
        corners = [centre + x * factor for factor in (-1 - 1j, -1 + 1j, 1 + 1j, 1 - 1j)]
        expected = np.stack([np.real(corners), np.imag(corners)], axis=1)
        found = ffhq.face_quad(np.stack([np.real(points), np.imag(points)], axis=1))
        np.testing.assert_allclose(found, expected, atol=1e-8)


def test_crop_of_whole_pixels_is_a_slice():
    photograph, quad = blobs(120, 150), square(40, 30, 64)
    crop = ffhq.crop_quad(photograph, quad, 64)
    assert psnr(crop, photograph[30:94, 40:104]) > 35
    assert psnr(crop, photograph[30:94, 41:105]) < 25  # the test sees a shifted pixel
    # Its top left corner is the photograph's bottom left: turned clockwise.
    turned = ffhq.crop_quad(photograph, np.roll(quad, -1, axis=0), 64)
    np.testing.assert_allclose(turned.astype(int), np.rot90(crop, -1), atol=1)


def test_large_faces_are_shrunk_about_the_centres_of_pixels():
    photograph = blobs(500, 500, cell=16)
    crop = ffhq.crop_quad(photograph, square(60, 70, 384), 64)
    means = photograph[70:454, 60:444].reshape(64, 6, 64, 6, 3).mean(axis=(1, 3))
    assert psnr(crop, means) > 38


def test_outside_the_photograph_is_its_blurred_reflection_fading_to_the_median():
    x = np.arange(200)
    photograph = np.full((200, 200, 3), 100, np.uint8)
    photograph[:, x % 20 < 10] = (40, 80, 120)  # stripes
    # The square of 100 starts 40 to the left: padding is max(40 + 10, 30) = 50 wide.
    crop = ffhq.crop_quad(photograph, square(-40, 50, 100), 100).astype(int)
    inside = photograph[50:150, 20:60]
    assert psnr(crop[:, 60:], inside) > 30  # beyond 50 / 3 pixels nothing is blurred
    stripes = np.ptp(crop[50, :, 0])
    assert stripes > 50
    assert np.ptp(crop[50, 10:40, 0]) < 0.8 * stripes
    median = np.median(crop[:, :3, 0])
    assert abs(median - np.median(photograph[..., 0])) < 15


def test_padding_is_as_wide_as_the_recipe_says():
    quad = square(-40, 50, 100)
    left, top, right, bottom = box = ffhq.surroundings(quad, (200, 200, 3))
    assert box == (0, 39, 70, 160)
    sharp = ffhq.sharpness(quad, box)
    assert sharp.shape == (bottom - top, right - left)
    # Padding is 51 pixels at the left: floor(-40.5) and a border of 10.
    np.testing.assert_allclose(sharp[60, :17], 3 * np.arange(17) / 51, atol=1e-5)
    np.testing.assert_array_equal(sharp[60, 17:59], 1)
    assert (ffhq.sharpness(square(50, 50, 100), (39, 39, 160, 160)) == 1).all()


def test_align_returns_the_largest_face_first_and_warns_of_small_ones(caplog):
    photograph = blobs(240, 320)
    faces = [UPRIGHT, UPRIGHT * 1.5 + (60, 30)]
    found = align(photograph, size=64, landmarks=faces)
    assert [round(ffhq.quad_side(face.quad)) for face in found] == [135, 90]
    assert all(face.crop.shape == (64, 64, 3) for face in found)
    assert not caplog.records
    align(photograph, size=200, landmarks=UPRIGHT)
    assert "90 pixels" in caplog.text
    seen = align(photograph, size=64, landmarker=lambda image: faces[:1])
    np.testing.assert_array_equal(seen[0].crop, found[1].crop)


def test_align_says_what_is_wrong():
    photograph = blobs(100, 120)
    given = {"image": photograph, "size": 64, "landmarks": UPRIGHT}
    for changed, error, message in [
        ({"landmarks": [], "landmarker": None}, NoFaceError, "`align=False`"),
        ({"landmarks": UPRIGHT + 100}, LandmarkError, "another size"),
        ({"landmarks": (UPRIGHT - 50) * 20 + 50}, LandmarkError, "another size"),
        ({"image": photograph / 255}, UserError, "uint8"),
        ({"size": 0}, UserError, "size"),
    ]:
        with pytest.raises(error, match=message):
            align(**given | changed)


@pytest.mark.parametrize("shape", [(64, 64), (60, 80)])
@pytest.mark.parametrize("turn", [0.0, 0.1])
def test_a_picture_that_is_a_crop_already_gets_no_mirrored_surroundings(shape, turn):
    image = blobs(*shape)
    middle = np.array(shape[::-1]) / 2
    cosine, sine = np.cos(turn), np.sin(turn)
    face = (UPRIGHT - (50, 60)) * max(shape) / 64 @ [[cosine, sine], [-sine, cosine]]
    landmarks = face + middle  # whose quad is larger than the picture
    assert ffhq.quad_side(ffhq.face_quad(landmarks)) > 1.2 * max(shape)
    (found,) = align(image, size=32, landmarks=landmarks)
    side = min(shape)
    left, top = (shape[1] - side) // 2, (shape[0] - side) // 2
    square_part = image[top : top + side, left : left + side]
    assert psnr(found.crop, resampling.resize(square_part, (32, 32))) > 25
    np.testing.assert_allclose(found.quad, square(left, top, side))


def test_a_face_at_the_edge_of_a_photograph_is_continued_and_warned_of(caplog):
    image = blobs(400, 400)
    (plain,) = align(image, size=32, landmarks=UPRIGHT * 2)
    assert not caplog.records
    np.testing.assert_allclose(plain.quad, ffhq.face_quad(UPRIGHT * 2))
    (found,) = align(image, size=32, landmarks=UPRIGHT * 2 - (90, 90))
    np.testing.assert_allclose(found.quad, ffhq.face_quad(UPRIGHT * 2 - (90, 90)))
    # 90 of 180 columns beyond the left edge, and rows beyond the top one.
    quad = found.quad
    kept = (quad[2] + 0.5).clip(0) / ffhq.quad_side(quad)
    share = round(100 * (1 - kept.prod()))
    assert f"{share}% of a crop" in caplog.text or f"{share - 1}%" in caplog.text
