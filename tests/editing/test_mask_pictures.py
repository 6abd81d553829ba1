"""Masks that are pictures: what is inside, and what is no mask."""

import io

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError
from stylegan_jax.io import images

INSIDE = np.zeros((32, 32), bool)
INSIDE[8:16, 8:24] = True  # 128 of 1024


def read(tmp_path, pixels, kind="png", **options):
    """The inside of a mask of these pixels, and what is said of it."""
    path = tmp_path / f"m.{kind}"
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **({"quality": 75} if kind == "jpg" else {}))
    said = []
    word = f"{path}={options.pop('value')}" if "value" in options else str(path)
    mask = masks.parse(word, 32, report=said.append, **options)
    assert mask.shape == (1, 32, 32, 1) and mask.dtype == np.float32
    return mask[0, :, :, 0], said[0]


def rgba(inside, outside):
    return np.where(INSIDE[:, :, None], inside, outside).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "how"),
    [
        (np.uint8(INSIDE) * 255, "luminance"),
        (np.uint8(INSIDE), "luminance"),  # 0 and 1
        (np.uint8(INSIDE) * 128, "luminance"),
        (INSIDE, "luminance"),  # one bit
        (np.uint16(INSIDE) * 65535, "luminance"),
        (np.uint16(INSIDE) * 255, "luminance"),  # 8 bits in 16
        (np.uint16(INSIDE), "luminance"),
        (rgba([255] * 4, [0] * 4), "alpha"),
        (rgba([255] * 4, [255, 255, 255, 0]), "alpha"),  # white everywhere
        (rgba([0, 0, 0, 255], [0] * 4), "alpha"),  # black strokes
        (rgba([255, 255, 255, 255], [0, 0, 0, 255]), "luminance"),  # alpha is the same
        (rgba([255, 0, 0], [0, 0, 0]), "luminance"),  # red on black
        (rgba([250, 250, 255], [30, 20, 10]), "luminance"),
    ],
)
def test_the_inside_is_what_was_drawn(tmp_path, pixels, how):
    mask, said = read(tmp_path, pixels)
    np.testing.assert_array_equal(mask, INSIDE)
    assert said.endswith(f"128 of 1024 pixels are inside (12.5%), 32x32, by its {how}")


def test_masks_of_jpeg_and_floats_keep_their_size(tmp_path):
    for mode in ("L", "RGB"):
        picture = Image.fromarray(np.uint8(INSIDE) * 255).convert(mode)
        mask, said = read(tmp_path, picture, "jpg")
        np.testing.assert_array_equal(mask, INSIDE)
        assert "128 of 1024" in said
    mask, _ = read(tmp_path, INSIDE.astype(np.float32), "tif")
    np.testing.assert_array_equal(mask, INSIDE)


def test_grey_is_cut_at_a_half_unless_it_is_asked_for(tmp_path):
    grey = np.uint8(INSIDE) * 255
    grey[0, :4] = 51, 127, 128, 204
    hard, said = read(tmp_path, grey)
    np.testing.assert_array_equal(hard[0, :4], [0, 0, 1, 1])
    assert "130 of 1024" in said
    soft, _ = read(tmp_path, grey, soft=True)
    np.testing.assert_allclose(soft[0, :4], [0.2, 127 / 255, 128 / 255, 0.8])
    np.testing.assert_array_equal(soft[8:16, 8:24], 1)
    dim, _ = read(tmp_path, grey // 3, soft=True)  # does not use 8 bits
    np.testing.assert_allclose(dim[0, :4], [0.2, 42 / 85, 42 / 85, 0.8])


def test_class_numbers_are_refused_until_one_is_named(tmp_path):
    numbers = np.uint8(INSIDE) * 3
    numbers[20:22] = 7
    numbers[30] = 255  # no class, as some data sets write
    with pytest.raises(UserError, match=r"3, 7 look like class numbers.*mask\.png=3"):
        read(tmp_path, numbers)
    mask, said = read(tmp_path, numbers, value=3)
    np.testing.assert_array_equal(mask, INSIDE)
    assert "pixels of value 3" in said
    with pytest.raises(UserError, match="no pixel has the value 4"):
        read(tmp_path, numbers, value=4)
    with pytest.raises(UserError, match="1, 2 look like class numbers"):
        read(tmp_path, np.uint8(INSIDE) + 1)


def test_what_is_no_mask_is_refused(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    classes = Image.fromarray(np.uint8(INSIDE) * 2 + 1, "P")
    classes.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 192, 128, 128])
    classes.putpixel((0, 0), 2)
    zeros = np.zeros((32, 32), np.uint8)
    for pixels, reason in (
        (photo, "in colours; draw what is inside white"),
        (classes, "in colours"),
        (zeros, "the value 0; white is inside, black outside"),
        (zeros + 255, "the value 255; for all of it give box:0,0,1,1"),
        (zeros + 1, "the value 1; for all"),
        (rgba([9, 9, 9, 0], [5, 5, 5, 0]), "transparent everywhere"),
        (np.maximum(200, zeros + np.uint8(255) * INSIDE), "all pixels are inside"),
        (np.float32(INSIDE) * 7 + np.float32(1), "from 1 to 8 are no mask"),
    ):
        kind = "tif" if np.asarray(pixels).dtype == np.float32 else "png"
        with pytest.raises(UserError, match=reason):
            read(tmp_path, pixels, kind)


def test_a_mask_is_turned_as_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    turned = Image.fromarray(np.rot90(np.uint8(INSIDE) * 255))
    turned.save(stream, "PNG", exif=exif)
    (tmp_path / "m.png").write_bytes(stream.getvalue())
    mask = masks.parse(str(tmp_path / "m.png"), 32)
    np.testing.assert_array_equal(mask[0, :, :, 0], INSIDE)


def test_the_whole_of_it_can_be_asked_for_as_the_message_says(tmp_path):
    images.write_png(tmp_path / "m.png", np.full((32, 32), 255, np.uint8))
    with pytest.raises(UserError, match="box:0,0,1,1"):
        masks.parse(str(tmp_path / "m.png"), 32)
    assert masks.parse("box:0,0,1,1", 32).all()
