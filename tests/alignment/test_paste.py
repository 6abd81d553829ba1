import numpy as np
import pytest

from stylegan_jax.alignment import ffhq
from stylegan_jax.alignment.crops import paste_back
from stylegan_jax.errors import UserError
from tests.alignment.pictures import blobs, psnr, turned


@pytest.mark.parametrize("side", [90, 200])  # the crop is enlarged, and reduced
@pytest.mark.parametrize("degrees", [0, 25, 180])
def test_an_unedited_crop_leaves_the_photograph(degrees, side):
    photograph = blobs(240, 300, 12)
    quad = turned(degrees, side, (150.3, 121.8))
    crop = ffhq.crop_quad(photograph, quad, 128)
    pasted = paste_back(photograph, crop, quad, feather=0)
    left, top, right, bottom = ffhq.surroundings(quad, photograph.shape)
    inside = np.s_[top + 20 : bottom - 20, left + 20 : right - 20]
    assert psnr(pasted[inside], photograph[inside]) > 38
    shifted = paste_back(photograph, crop, quad + np.array([1, 0]), feather=0)
    assert psnr(shifted[inside], photograph[inside]) < 32  # it would be seen


def test_an_edit_reaches_its_quad_and_nothing_else():
    photograph = np.full((100, 120, 3), 50, np.uint8)
    quad = turned(0, 40, (59.5, 49.5))  # pixels 40..79 and 30..69
    crop = np.full((64, 64, 3), 250, np.uint8)
    hard = paste_back(photograph, crop, quad, feather=0)
    expected = photograph.copy()
    expected[30:70, 40:80] = 250
    np.testing.assert_array_equal(hard, expected)
    soft = paste_back(photograph, crop, quad, feather=0.25).astype(int)
    assert (soft[expected == 50] == 50).all()
    assert (soft[40:60, 50:70] == 250).all()  # a quarter of 40 pixels from the edges
    # Half way in, at 5 of 10 pixels, half of the change: the pixel after it is 5.5 in.
    share = 0.55**2 * (3 - 2 * 0.55)
    assert soft[50, 45, 0] == round(50 + 200 * share)
    assert (np.diff(soft[50, 40:51, 0]) > 0).all()


def test_only_the_difference_is_added_when_the_unedited_crop_is_given():
    photograph = blobs(240, 300, 4)  # finer than the crop
    quad = turned(10, 200, (150, 120))
    crop = ffhq.crop_quad(photograph, quad, 32)
    same = paste_back(photograph, crop, quad, unedited=crop)
    np.testing.assert_array_equal(same, photograph)
    darker = paste_back(photograph, crop // 2, quad, unedited=crop)
    assert darker[120, 150].mean() < photograph[120, 150].mean()


def test_edges_of_the_photograph_that_the_quad_crosses_stay():
    photograph = np.full((200, 200, 3), 50, np.uint8)
    quad = turned(0, 100, (9.5, 99.5))  # 40 pixels beyond the left edge
    edited = paste_back(photograph, np.full((64, 64, 3), 250, np.uint8), quad)
    assert (edited[100, 0] == 50).all()
    assert (np.diff(edited[100, :17, 0].astype(int)) > 0).all()
    assert (edited[100, 18:40] == 250).all()


def test_mistakes_are_named():
    photograph, crop = np.zeros((50, 50, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    quad = turned(0, 20, (25, 25))
    skewed = quad + np.array([(0, 0), (0, 0), (3, 0), (0, 0)])
    given = {"photograph": photograph, "crop": crop, "quad": quad}
    for changed, words in [
        ({"photograph": photograph / 255}, "photograph is not uint8"),
        ({"crop": crop[:4]}, r"got \[\(4, 8, 3\)\]"),
        ({"quad": quad[:3]}, "four points"),
        ({"quad": skewed}, "no parallelogram"),
        ({"quad": quad + 500}, "outside"),
        ({"feather": 0.6}, "feather"),
        ({"unedited": crop[:4, :4]}, r"got \[\(4, 4, 3\), \(8, 8, 3\)\]"),
    ]:
        with pytest.raises(UserError, match=words):
            paste_back(**given | changed)
