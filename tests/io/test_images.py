"""8-bit conversion, reading of odd files, squares, grids, PNG files."""

import io
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.io import decoding, images, resampling


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_every_level_survives_the_way_to_floats_and_back():
    levels = np.arange(256, dtype=np.uint8)
    floats = images.from_uint8(levels)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(floats), levels)


def test_to_uint8_rounds_to_the_nearest_level_and_saturates():
    # The official formula, floor(127.5 x + 128), in float64.
    x = np.linspace(-1.5, 1.5, 10_001)
    expected = np.clip(np.floor(127.5 * x + 128), 0, 255)
    difference = images.to_uint8(x) - expected
    near_edge = np.abs(127.5 * x + 128 - np.rint(127.5 * x + 128)) < 1e-4
    assert not difference[~near_edge].any()
    with np.errstate(all="raise"):
        odd = images.to_uint8(np.array([np.nan, np.inf, -np.inf, 0.0], np.float32))
    np.testing.assert_array_equal(odd, [128, 255, 0, 128])
    with pytest.raises(TypeError, match="uint8"):
        images.to_uint8(np.zeros(3, np.uint8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_holds_exactly_what_was_written(tmp_path, channels):
    image = noise(5, 7, channels)
    path = tmp_path / "new" / "a.png"
    images.write_png(path, image)
    np.testing.assert_array_equal(images.read_image(path, channels), image)
    np.testing.assert_array_equal(
        images.read_image(images.encode_png(image), channels), image
    )
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with pytest.raises(ValueError, match=r"float64 \(4, 4, 3\)"):
        images.write_png(path, np.zeros((4, 4, 3)))


def test_transparency_is_laid_over_white_unless_alpha_is_wanted():
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 127]]], np.uint8)
    data = images.encode_png(pixels)
    rgb = images.read_image(data, 3)
    np.testing.assert_array_equal(rgb[0], [[255, 0, 0], [255, 255, 255], [128] * 3])
    np.testing.assert_array_equal(images.read_image(data, 4), pixels)
    grey = images.read_image(data, 1)
    assert grey.shape == (1, 3, 1)
    assert grey[0, 1, 0] == 255


def test_a_transparent_palette_is_laid_over_white():
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    opaque = images.read_image(encode(palette), 3)
    np.testing.assert_array_equal(opaque[0], [[10, 20, 30], [200, 100, 50]])
    clear = images.read_image(encode(palette, transparency=1), 3)
    np.testing.assert_array_equal(clear[0], [[10, 20, 30], [255, 255, 255]])


def test_a_grey_file_becomes_grey_rgb_and_colours_become_luma():
    grey = noise(4, 4)
    rgb = images.read_image(encode(Image.fromarray(grey)), 3)
    np.testing.assert_array_equal(rgb, np.repeat(grey[:, :, None], 3, 2))
    red = encode(Image.new("RGB", (2, 2), (255, 0, 0)))
    assert images.read_image(red, 1)[0, 0, 0] == round(0.299 * 255)


def test_an_impossible_number_of_channels_is_not_blamed_on_the_file():
    with pytest.raises(ValueError, match="num_channels 5") as error:
        images.read_image(images.encode_png(noise(4, 4)), 5)
    assert not isinstance(error.value, images.UnreadableImageError)


def huge_png() -> bytes:
    """A valid header that claims 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + body + b"\0\0\0\0IDAT\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"these are words", "not an image"),
        (huge_png(), "60000|exceeds limit"),
        (images.encode_png(noise(64, 64, 3))[:4000], "damaged|truncated"),
    ],
)
@pytest.mark.filterwarnings("ignore:Image size")
def test_what_cannot_be_decoded_is_refused_with_a_reason(data, reason):
    with pytest.raises(images.UnreadableImageError, match=reason):
        images.read_image(data)
    with pytest.raises(images.UnreadableImageError, match=reason):
        images.read_header(io.BytesIO(data))


def test_inspect_reads_sizes_and_tolerates_bytes_after_the_end():
    data = images.encode_png(noise(3, 5, 3))
    assert images.read_header(io.BytesIO(data)) == (3, 5, "8-bit")
    assert images.read_header(io.BytesIO(data + b"\0" * 20))[:2] == (3, 5)


def test_the_centre_of_what_is_not_square_is_kept():
    image = noise(4, 10, 1)
    np.testing.assert_array_equal(resampling.square_box(image, 4), image[:, 3:7])
    tall = image.transpose(1, 0, 2)
    np.testing.assert_array_equal(resampling.square_box(tall, 4), tall[3:7])


def test_enlarging_keeps_a_flat_colour_and_the_size_asked_for():
    flat = np.full((3, 3, 4), 77, np.uint8)
    np.testing.assert_array_equal(
        resampling.square_box(flat, 16), np.full((16, 16, 4), 77, np.uint8)
    )


def test_padding_surrounds_with_zeros_up_to_the_power_of_two():
    digit = noise(28, 28, 1)
    padded = resampling.square_box(digit, 32, pad=True)
    np.testing.assert_array_equal(padded[2:30, 2:30], digit)
    assert padded.sum() == digit.sum()
    np.testing.assert_array_equal(
        resampling.square_box(digit, 16, pad=True), resampling.square_box(padded, 16)
    )


@pytest.mark.parametrize(
    ("side", "resolution"),
    [(8, 4), (12, 4), (16, 4), (24, 4), (128, 4), (11, 4), (6, 4), (23, 16), (10, 3)],
)
def test_shrinking_rounds_the_exact_mean_over_areas_half_to_even(side, resolution):
    image = noise(side, side, 3, seed=side) // 64 * 64  # ties are frequent
    fine = image.repeat(resolution, 0).repeat(resolution, 1).astype(np.int64)
    total = fine.reshape(resolution, side, resolution, side, 3).sum((1, 3))
    area = side**2
    rest = 2 * (total % area)
    up = (rest > area) | ((rest == area) & (total // area % 2 == 1))
    expected = total // area + up
    np.testing.assert_array_equal(resampling.square_box(image, resolution), expected)


@pytest.mark.parametrize("side", [4096, 4000])
def test_shrinking_takes_little_more_than_the_image(side):
    image = np.zeros((side, side, 3), np.uint8)
    tracemalloc.start()
    try:
        resampling.square_box(image, 1024)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20  # the image has 48 MB
    finally:
        tracemalloc.stop()


def test_large_images_wait_until_others_are_done_with_and_small_ones_do_not(
    monkeypatch,
):
    monkeypatch.setattr(decoding, "budget", decoding._Budget(3000))
    large, small = images.encode_png(noise(20, 20, 3)), images.encode_png(noise(4, 4))
    with ThreadPoolExecutor(2) as pool:
        with decoding.budget.take(1000):  # the large one takes 400 times 7 bytes
            waiting = pool.submit(images.read_image, large)
            assert pool.submit(images.read_image, small).result(60).shape == (4, 4, 3)
            assert not waiting.done()
        assert waiting.result(60).shape == (20, 20, 3)
    with decoding.budget.take(10**9):  # one of any size is let in
        pass


def test_an_image_counts_until_it_is_shrunk(monkeypatch):
    monkeypatch.setattr(decoding, "budget", decoding._Budget(3000))
    during = []
    images.read_image(
        images.encode_png(noise(20, 20, 3)),
        shrink=lambda pixels: during.append(decoding.budget._taken) or pixels,
    )
    assert during == [400 * 7] and not decoding.budget._taken
