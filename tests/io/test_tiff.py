"""TIFF directories: those tags only that pixels need, and as long as the file."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.io import images, tiff
from tests.io.picture_bombs import tags


def moved(data: bytes, more: list[tuple[int, int, int, int]]) -> bytes:
    """A classic TIFF with more tags in its directory, which moves to the end."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    table = data[at + 2 : at + 2 + 12 * count]
    table += b"".join(struct.pack("<HHII", *entry) for entry in more)
    start = data[:4] + struct.pack("<I", len(data)) + data[8:]
    return start + struct.pack("<H", count + len(more)) + table + bytes(4)


def picture(**options) -> tuple[np.ndarray, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF", **options)
    return pixels, stream.getvalue()


@pytest.mark.parametrize(
    "compression", ["raw", "big", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"]
)
def test_honest_files_pass(compression: str) -> None:
    big = compression == "big"
    options = {"big_tiff": True} if big else {"compression": compression}
    pixels, data = picture(software="x" * 99, **options)
    assert (data[2] == 43) == big
    found = images.read_image(data)
    assert np.abs(found.astype(int) - pixels).max() <= 255 * (compression == "jpeg")


def test_tags_that_pixels_do_not_need_are_not_shown() -> None:
    pixels, data = picture()
    many = [(40_000 + i, 7, len(data), 0) for i in range(1000)]
    data = moved(data, many)
    np.testing.assert_array_equal(images.read_image(data), pixels)
    pieces, _ = tiff.walk(io.BytesIO(data), len(data))
    directory = pieces[-1]
    assert isinstance(directory, bytes) and len(directory) < 300


def test_tags_longer_than_the_file_are_refused() -> None:
    _, data = picture()
    data = moved(data, [(347, 7, 2 * len(data), 0)])  # JPEG tables
    with pytest.raises(images.UnreadableImageError, match=r"tags of \d+ bytes in \d+"):
        images.read_image(data)
    _, data = picture()
    data = moved(data, [(320, 3, 300_000, 0)])
    with pytest.raises(images.UnreadableImageError, match="tag 320 has 300000 values"):
        images.read_image(data + bytes(1 << 20))


def test_a_directory_of_very_many_tags_is_refused() -> None:
    with pytest.raises(images.UnreadableImageError, match="5000 tags"):
        images.read_image(tags(5000, 1 << 17))


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0+" * 9])
def test_what_has_no_directory_has_no_orientation(data: bytes) -> None:
    assert tiff.orientation(data) == 1
    assert tiff.orientation(b"Exif\0\0" + data) == 1


@pytest.mark.parametrize("order", "<>")
def test_the_orientation_is_a_number_from_1_to_8(order: str) -> None:
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    for number, found in ((1, 1), (6, 6), (8, 8), (0, 1), (9, 1)):
        entry = struct.pack(order + "HHIHH", 274, 3, 1, number, 0)
        data = mark + struct.pack(order + "IH", 8, 1) + entry
        assert tiff.orientation(data) == found
        assert tiff.orientation(b"Exif\0\0" + data) == found
