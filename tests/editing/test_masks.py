"""Masks of shapes, parts and pictures."""

import math

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.data.portraits import source
from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError

INSIDE = np.zeros((32, 32), bool)
INSIDE[8:16, 8:24] = True  # 128 of 1024


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
    eyes, half, below = np.array([700.0, 500.0]), 200, np.array([0, 1000 / 9])
    corner = eyes + 0.1 * below - half
    np.testing.assert_allclose((eyes - corner) / (2 * half), masks.FFHQ.eyes)
    assert masks.FFHQ.eye_distance == pytest.approx(100 / (2 * half))
    assert masks.FFHQ.eye_to_mouth == pytest.approx(below[1] / (2 * half))


def test_parts_of_the_built_in_portraits_are_where_they_change():
    def drawn(**traits):
        person = source.PortraitAttributes(hair_style="bald", age=0.2, **traits)
        return source.draw(person, resolution=64, detail_seed=0).astype(float)

    plain = drawn()
    for change, name, least in [
        ({"eye_colour": 0.9}, "eyes", 0.99),
        ({"lip_fullness": 1.0}, "mouth", 0.95),
        ({"nose_size": 1.0}, "nose", 0.8),
        ({"brow_weight": 1.0}, "brows", 0.95),
        ({"freckles": 1.0}, "face", 0.95),
    ]:
        difference = np.abs(drawn(**change) - plain).sum(-1)
        shares = {
            part: (difference * masks.part(part, 64, masks.PORTRAITS)[0, :, :, 0]).sum()
            for part in (name, "mouth")
        }
        assert shares[name] > least * difference.sum()
        assert name != "eyes" or shares["mouth"] < 0.01 * difference.sum()


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
    hard = masks.box(64, 0.5, 0.0, 1.0, 1.0)
    row = masks.feather(hard, 1 / 16)[0, 20, :, 0]
    # Between the pixels at the edge, the step blurred by sigma of 4 px.
    x = np.arange(64) - 31.5
    expected = [0.5 * (1 + math.erf(v / 4 / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(row, expected, atol=0.005)
    np.testing.assert_array_equal(masks.feather(hard, 0.0), hard)


def test_dilating_adds_a_disc_and_resizing_takes_nearest_neighbours():
    grown = masks.dilate(masks.box(32, 15 / 32, 15 / 32, 0.5, 0.5), 3 / 32)
    y, x = np.mgrid[:32, :32]
    expected = (y - 15) ** 2 + (x - 15) ** 2 <= 9
    np.testing.assert_array_equal(grown[0, :, :, 0], expected)
    mask = np.random.RandomState(0).rand(1, 32, 32, 1).astype("f")
    expected = mask[:, 2::4, 2::4]  # pixel 2 of 0..3 is at the middle, rounded up
    np.testing.assert_array_equal(masks.resize(mask, 8), expected)
    np.testing.assert_array_equal(masks.resize(mask, 32), mask)
    assert masks.resize(mask, 64)[0, 63, 5, 0] == mask[0, 31, 2, 0]


# --- Pictures and words ------------------------------------------------------------


def read(tmp_path, pixels, kind="png", *, value=None, **options):
    """The inside of a mask of these pixels."""
    path = tmp_path / f"m.{kind}"
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **({"quality": 75} if kind == "jpg" else {}))
    word = str(path) if value is None else f"{path}={value}"
    mask = masks.parse(word, 32, **options)
    assert mask.shape == (1, 32, 32, 1) and mask.dtype == np.float32
    return mask[0, :, :, 0]


def rgba(inside, outside):
    return np.where(INSIDE[:, :, None], inside, outside).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.uint8(INSIDE) * 255, "png"),
        (np.uint8(INSIDE), "png"),  # 0 and 1
        (np.uint8(INSIDE) * 128, "png"),
        (INSIDE, "png"),  # one bit
        (np.uint16(INSIDE) * 65535, "png"),
        (np.uint16(INSIDE) * 255, "png"),  # 8 bits in 16
        (np.uint16(INSIDE), "png"),
        (rgba([255] * 4, [0] * 4), "png"),
        (rgba([255] * 4, [255, 255, 255, 0]), "png"),  # white everywhere
        (rgba([0, 0, 0, 255], [0] * 4), "png"),  # black strokes
        (rgba([255, 255, 255, 255], [0, 0, 0, 255]), "png"),  # alpha is the same
        (rgba([255, 0, 0], [0, 0, 0]), "png"),  # red on black
        (rgba([250, 250, 255], [30, 20, 10]), "png"),
        (np.uint8(INSIDE) * 255, "jpg"),
        (rgba([255] * 3, [0] * 3), "jpg"),
        (INSIDE.astype(np.float32), "tif"),
    ],
)
def test_the_inside_is_what_was_drawn(tmp_path, pixels, kind):
    np.testing.assert_array_equal(read(tmp_path, pixels, kind), INSIDE)


def test_grey_is_cut_at_a_half_unless_it_is_asked_for(tmp_path):
    grey = np.uint8(INSIDE) * 255
    grey[0, :4] = 51, 127, 128, 204
    np.testing.assert_array_equal(read(tmp_path, grey)[0, :4], [0, 0, 1, 1])
    soft = read(tmp_path, grey, soft=True)
    np.testing.assert_allclose(soft[0, :4], [0.2, 127 / 255, 128 / 255, 0.8])
    np.testing.assert_array_equal(soft[8:16, 8:24], 1)
    dim = read(tmp_path, grey // 3, soft=True)  # does not use 8 bits
    np.testing.assert_allclose(dim[0, :4], [0.2, 42 / 85, 42 / 85, 0.8])


def test_class_numbers_are_rejected_until_one_is_named(tmp_path):
    numbers = np.uint8(INSIDE) * 3
    numbers[20:22] = 7
    numbers[30] = 255  # no class, as some data sets write
    with pytest.raises(UserError, match=r"3, 7 look like class numbers.*mask\.png=3"):
        read(tmp_path, numbers)
    np.testing.assert_array_equal(read(tmp_path, numbers, value=3), INSIDE)
    with pytest.raises(UserError, match="no pixel has the value 4"):
        read(tmp_path, numbers, value=4)
    with pytest.raises(UserError, match="1, 2 look like class numbers"):
        read(tmp_path, np.uint8(INSIDE) + 1)


def test_what_is_no_mask_is_rejected(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    classes = Image.fromarray(np.uint8(INSIDE) * 2 + 1, "P")
    classes.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 192, 128, 128])
    classes.putpixel((0, 0), 2)
    zeros = np.zeros((32, 32), np.uint8)
    for pixels, reason in (
        (photo, "in colours; draw what is inside white"),
        (classes, "in colours"),
        (zeros, "no pixel is inside; white is inside, black outside"),
        (zeros + 255, "all pixels are inside; for all of it give box:0,0,1,1"),
        (zeros + 1, "all pixels are inside"),
        (rgba([9, 9, 9, 0], [5, 5, 5, 0]), "no pixel is inside"),
        (np.maximum(200, zeros + np.uint8(255) * INSIDE), "all pixels are inside"),
        (np.float32(INSIDE) * 7 + np.float32(1), "from 1 to 8 are no mask"),
        (zeros[:16], "32x16 px, but the network's pictures are 32x32"),
    ):
        kind = "tif" if np.asarray(pixels).dtype == np.float32 else "png"
        with pytest.raises(UserError, match=reason):
            read(tmp_path, pixels, kind)
    (tmp_path / "t.png").write_text("text")
    with pytest.raises(UserError, match=r"t\.png: not an image"):
        masks.parse(str(tmp_path / "t.png"), 32)


def test_a_mask_is_turned_as_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.rot90(np.uint8(INSIDE) * 255))
    turned.save(tmp_path / "m.png", exif=exif)
    mask = masks.parse(str(tmp_path / "m.png"), 32)
    np.testing.assert_array_equal(mask[0, :, :, 0], INSIDE)


def test_a_description_is_a_union_of_shapes_parts_and_pictures(tmp_path):
    picture = np.zeros((16, 16), np.uint8)
    picture[3, 4:6] = 51, 255
    Image.fromarray(picture).save(tmp_path / "m.png")
    text = f"box:0,0,0.5,0.125+left-eye+{tmp_path / 'm.png'}"
    mask = masks.parse(text, 16, soft=True)
    expected = np.maximum(masks.box(16, 0, 0, 0.5, 0.125), masks.part("left-eye", 16))
    expected[0, 3, 4:6] = [[0.2], [1]]
    np.testing.assert_allclose(mask, expected)
    assert masks.parse("box:0,0,1,1", 16).all()


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
def test_other_descriptions_are_rejected(text, message):
    with pytest.raises(UserError, match=message):
        masks.parse(text, 16)
