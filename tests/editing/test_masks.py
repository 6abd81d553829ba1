import math

import numpy as np
import pytest

from stylegan_jax.data.portraits import source
from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError
from stylegan_jax.io import images


def test_a_box_holds_the_pixels_whose_centres_it_holds():
    mask = masks.box(8, 0.25, 0.5, 0.75, 1.0)
    expected = np.zeros((1, 8, 8, 1), np.float32)
    expected[0, 4:8, 2:6] = 1  # x is across, y is down
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.float32


def test_an_ellipse_has_its_area_and_centre():
    mask = masks.ellipse(256, 0.4, 0.6, 0.3, 0.1)[0, :, :, 0]
    assert mask.mean() == pytest.approx(math.pi * 0.3 * 0.1, rel=0.01)
    y, x = np.nonzero(mask)
    assert (x.mean() + 0.5) / 256 == pytest.approx(0.4, abs=0.002)
    assert (y.mean() + 0.5) / 256 == pytest.approx(0.6, abs=0.002)


def test_the_frame_of_ffhq_is_what_its_alignment_does_to_landmarks():
    # A face upright in a photograph, in pixels: eyes 100 apart, mouth 1000/9 below,
    # so that both candidates for the half side are 200.
    eyes, mouth_below = np.array([700.0, 500.0]), 1000 / 9
    half = max(2 * 100, 1.8 * mouth_below)
    half_apart, below = np.array([50, 0]), np.array([0, mouth_below])
    centre = eyes + 0.1 * below
    corner = centre - half

    def place(point):
        return (np.asarray(point) - corner) / (2 * half)

    np.testing.assert_allclose(place(eyes), masks.FFHQ.eyes, atol=1e-12)
    right = place(eyes + half_apart) - place(eyes - half_apart)
    assert right[0] == pytest.approx(masks.FFHQ.eye_distance)
    down = place(eyes + below) - place(eyes)
    assert down[1] == pytest.approx(masks.FFHQ.eye_to_mouth)


def test_parts_of_the_built_in_portraits_are_where_they_change():
    person = source.PortraitAttributes(hair_style="bald", age=0.2)
    plain = source.draw(person, resolution=64, detail_seed=0).astype(float)

    def changed(**traits):
        other = source.PortraitAttributes(hair_style="bald", age=0.2, **traits)
        drawn = source.draw(other, resolution=64, detail_seed=0)
        return np.abs(drawn - plain).sum(-1)

    def share_inside(change, name):
        mask = masks.part(name, 64, masks.PORTRAITS)[0, :, :, 0]
        return (change * mask).sum() / change.sum()

    assert share_inside(changed(eye_colour=0.9), "eyes") > 0.99
    assert share_inside(changed(lip_fullness=1.0), "mouth") > 0.95
    assert share_inside(changed(nose_size=1.0), "nose") > 0.8
    assert share_inside(changed(brow_weight=1.0), "brows") > 0.95
    assert share_inside(changed(freckles=1.0), "face") > 0.95
    assert share_inside(changed(eye_colour=0.9), "mouth") < 0.01


def test_halves_share_the_picture_and_hair_leaves_the_face_out():
    for one, other in (("left", "right"), ("top", "bottom")):
        both = masks.part(one, 16) + masks.part(other, 16)
        np.testing.assert_array_equal(both, np.ones((1, 16, 16, 1)))
    assert masks.part("left", 16)[0, :, :8].all()
    assert masks.part("top", 16)[0, :8].all()
    hair, face = masks.part("hair", 64), masks.part("face", 64)
    assert hair.any() and not (hair * face).any()
    for name in masks.PARTS:
        assert masks.part(name, 32).any(), name


def test_feathering_is_a_gaussian_of_a_share_of_the_side():
    row = masks.feather(masks.box(64, 0.5, 0.0, 1.0, 1.0), 1 / 16)[0, 20, :, 0]
    # Between the pixels at the edge, the step blurred by sigma of 4 px.
    x = np.arange(64) - 31.5
    expected = [0.5 * (1 + math.erf(v / 4 / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(row, expected, atol=0.005)
    hard = masks.box(64, 0.5, 0.0, 1.0, 1.0)
    np.testing.assert_array_equal(masks.feather(hard, 0.0), hard)


def test_dilating_adds_a_disc():
    grown = masks.dilate(masks.box(32, 15 / 32, 15 / 32, 0.5, 0.5), 3 / 32)
    y, x = np.mgrid[:32, :32]
    expected = (y - 15) ** 2 + (x - 15) ** 2 <= 9
    np.testing.assert_array_equal(grown[0, :, :, 0], expected)


def test_masks_are_resampled_by_nearest_neighbours():
    mask = np.random.RandomState(0).rand(1, 32, 32, 1).astype("f")
    expected = mask[:, 2::4, 2::4]  # pixel 2 of 0..3 is at the middle, rounded up
    np.testing.assert_array_equal(masks.resize(mask, 8), expected)
    np.testing.assert_array_equal(masks.resize(mask, 32), mask)
    assert masks.resize(mask, 64)[0, 63, 5, 0] == mask[0, 31, 2, 0]


def test_a_description_is_a_union_of_shapes_parts_and_pictures(tmp_path):
    picture = np.zeros((16, 16), np.uint8)
    picture[3, 4:6] = 51, 255
    images.write_png(tmp_path / "m.png", picture)
    text = f"box:0,0,0.5,0.125+left-eye+{tmp_path / 'm.png'}"
    mask = masks.parse(text, 16, soft=True)
    expected = np.maximum(masks.box(16, 0, 0, 0.5, 0.125), masks.part("left-eye", 16))
    expected[0, 3, 4:6] = [[0.2], [1]]
    np.testing.assert_allclose(mask, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ear", "neither a picture nor box:"),
        ("box:1,2,3", "four numbers, such as box:0.2"),
        ("ellipse:0.5,0.5,nan,0.1", "four numbers, such as ellipse:0.5"),
        ("ellipse:0.5,0.5,0,0.1", "radii"),
        ("box:0.9,0,0.1,1", "holds no pixel of 16x16"),
        ("nowhere.png", "there is no such file"),
    ],
)
def test_other_descriptions_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        masks.parse(text, 16)


def test_masks_of_another_size_and_unreadable_ones_are_refused(tmp_path):
    images.write_png(tmp_path / "m.png", np.zeros((16, 8, 3), np.uint8))
    with pytest.raises(UserError, match="8x16 px, but the network's pictures are 32x"):
        masks.parse(str(tmp_path / "m.png"), 32)
    (tmp_path / "t.png").write_text("text")
    with pytest.raises(UserError, match=r"t\.png cannot be read: not an image"):
        masks.parse(str(tmp_path / "t.png"), 32)
