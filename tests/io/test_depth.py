"""Files of more than 8 bits: all bits are read, and white is what is meant."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.io import images
from tests.io.picture_bombs import chunk


def png_16(pixels: np.ndarray) -> bytes:
    """A PNG of uint16 `[H, W, 1-4]`, without filters."""
    height, width, channels = pixels.shape
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def tiff(pixels: np.ndarray, sample_format: int = 1, *, packed: bool = False) -> bytes:
    """A TIFF of one strip; little endian."""
    height, width, channels = pixels.shape
    data = pixels.tobytes()
    data = zlib.compress(data) if packed else data
    bits = 8 * pixels.dtype.itemsize
    entries = [(256, 4, 1, width), (257, 4, 1, height)]
    at = 8 + len(data)
    depths = bits if channels == 1 else at
    entries += [(258, 3, channels, depths), (259, 4, 1, 8 if packed else 1)]
    entries += [(262, 4, 1, 1 if channels == 1 else 2), (273, 4, 1, 8)]
    entries += [(277, 4, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data))]
    entries += [(339, 3, 1, sample_format)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    more = struct.pack(f"<{channels}H", *[bits] * channels).ljust(8, b"\0")
    start = b"II*\0" + struct.pack("<I", at + 8)
    count = struct.pack("<H", len(entries))
    return start + data + more + count + table + bytes(4)


def random(channels: int, high: int = 65535) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, high + 1, (9, 7, channels), np.uint16)
    pixels[0, 0] = high
    return pixels


@pytest.mark.parametrize(
    ("encode", "channels"),
    [(png_16, n) for n in (1, 2, 3, 4)]
    + [(functools.partial(tiff, packed=p), n) for p in (False, True) for n in (1, 3)],
)
def test_all_sixteen_bits_are_read(encode, channels):
    pixels = random(channels)
    levels, kind = images.read_levels(encode(pixels))
    assert kind == "16-bit"
    np.testing.assert_array_equal(levels, pixels)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_fewest_bits_that_hold_a_file_are_meant(bits, channels, caplog):
    pixels = random(channels, 2**bits - 4)
    expected = np.rint(pixels.astype(float) * 255 / (2**bits - 1))
    found = images.read_image(png_16(pixels), channels)
    np.testing.assert_array_equal(found, expected)
    assert f"largest value {2**bits - 4}: read as {bits} bits" in caplog.text
    full = images.read_image(png_16(pixels), channels, whites={})
    np.testing.assert_array_equal(full, np.rint(pixels / 257.0))


def test_bright_files_use_all_sixteen_bits_and_alpha_always_does(caplog):
    pixels = random(3, 20_000)
    found = images.read_image(png_16(pixels))
    np.testing.assert_array_equal(found, np.rint(pixels / 257.0))
    assert not caplog.text
    pixels = random(4, 4095)
    pixels[:, :, 3] = 65535
    found = images.read_image(png_16(pixels), 4)
    np.testing.assert_array_equal(found[0, 0], [255] * 4)


def test_integers_of_32_bits_that_hold_levels_are_levels():
    pixels = np.arange(256, dtype=np.int32).reshape(16, 16, 1)
    found = images.read_image(tiff(pixels, 2), 1)
    np.testing.assert_array_equal(found, pixels)
    with pytest.raises(images.UnreadableImageError, match=r"values from -1 to 254"):
        images.read_image(tiff(pixels - 1, 2), 1)


def test_floats_are_from_0_to_1():
    pixels = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1)
    found = images.read_image(tiff(pixels, 3), 1)
    np.testing.assert_array_equal(found.ravel(), np.arange(256))
    for bad, reason in ((255 * pixels, "floats up to 255"), (-pixels, "from -1")):
        with pytest.raises(images.UnreadableImageError, match=reason):
            images.read_image(tiff(bad, 3), 1)
    bad = pixels.copy()
    bad[3, 3] = np.nan
    with pytest.raises(images.UnreadableImageError, match="nan"):
        images.read_image(tiff(bad, 3), 1)


def test_white_may_be_said_and_what_is_above_it_saturates():
    pixels = np.array([[[0], [50], [100], [101]]], np.uint16)
    found = images.read_image(png_16(pixels), 1, whites={"16-bit": 100})
    np.testing.assert_array_equal(found.ravel(), [0, 128, 255, 255])
    floats = images.read_image(
        tiff(pixels.astype(np.float32), 3), 1, whites={"float": 100}
    )
    np.testing.assert_array_equal(floats, found)


@pytest.mark.parametrize("high", [255, 256, 1023, 1024, 4095, 16_384, 65_536])
def test_white_is_the_end_of_a_usual_number_of_bits(high):
    white = images.white_of("32-bit", high)
    assert white >= high
    assert white + 1 in (2**8, 2**10, 2**12, 2**14, 2**16, 2**24)
    assert white == 255 or white / high < 256


PNM = [
    (b"P1\n# a remark\n3 2\n101\n0 1 0", [[0, 255, 0], [255, 0, 255]]),
    (b"P2 3 2 # white\n15\n0 15 5\n10 1 2\n", [[0, 255, 85], [170, 17, 34]]),
    (b"P4\n3 2\n\xa0\x40", [[0, 255, 0], [255, 0, 255]]),
    (b"P5\n3 2\n15\n\0\x0f\5\n\1\2", [[0, 255, 85], [170, 17, 34]]),
    (b"P5\n3 2\n255\n\0\1\2\3\4\5", [[0, 1, 2], [3, 4, 5]]),
    (b"P5 2 1 1023\n\3\xff\1\0", [[255, 64]]),
]


@pytest.mark.parametrize(("data", "levels"), PNM)
def test_netpbm_is_read_and_scaled(data, levels):
    np.testing.assert_array_equal(images.read_image(data, 1)[:, :, 0], levels)
    assert images.read_header(io.BytesIO(data))[:2] == np.shape(levels)


def test_netpbm_of_colours_is_what_was_written():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PPM")
    text = b"P3\n4 5\n255\n" + " ".join(map(str, pixels.ravel())).encode()
    for data in (stream.getvalue(), text):
        np.testing.assert_array_equal(images.read_image(data), pixels)
    deep = random(1)
    data = b"P5\n7 9\n65535\n" + deep.astype(">u2").tobytes()
    np.testing.assert_array_equal(images.read_levels(data)[0], deep)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P2\n2 2\n255\n1 2 3", "3 of 4 samples"),
        (b"P5\n2 2\n255\n123", "3 of 4 samples"),
        (b"P2\n2 2\n9\n1 2 3 10", "a sample of 10, above 9"),
        (b"P2\n2 2\n9\n1 2 3 x", "no numbers"),
        (b"P2\n2 2\n70000\n1 2 3 4", "70000"),
        (b"P2\n2\n", "first lines"),
        (b"P6\n99999 99999\n255\n", "GB"),
    ],
)
def test_broken_netpbm_is_explained(data, reason):
    with pytest.raises(images.UnreadableImageError, match=reason):
        images.read_image(data)
