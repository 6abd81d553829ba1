"""TIFF directories that claim the same bytes again and again."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.common import images, tiff


def bomb(tags: int, size: int, order: str = "<", *, big: bool = False) -> bytes:
    """`size` bytes of TIFF whose `tags` tags are all the whole file."""
    mark = {"<": b"II", ">": b"MM"}[order]
    if big:
        header = mark + struct.pack(order + "HHHQ", 43, 8, 0, 16)
        table = struct.pack(order + "Q", tags)
        entry = order + "HHQQ"
    else:
        header = mark + struct.pack(order + "HI", 42, 8)
        table = struct.pack(order + "H", tags)
        entry = order + "HHII"
    table += b"".join(
        struct.pack(entry, 30_000 + i, 7, size - 8, 8) for i in range(tags)
    )
    return (header + table).ljust(size, b"\0")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_tags_longer_than_the_file_are_refused(order: str, big: bool) -> None:
    tiff.check_directory(io.BytesIO(bomb(1, 1 << 16, order, big=big)))
    data = bomb(2, 1 << 16, order, big=big)
    with pytest.raises(tiff.AbsurdDirectoryError, match="131056 bytes in 65536"):
        tiff.check_directory(io.BytesIO(data))
    with pytest.raises(images.UnreadableImageError, match="131056 bytes"):
        images.read_image(data)


def test_a_directory_of_very_many_tags_is_refused() -> None:
    with pytest.raises(tiff.AbsurdDirectoryError, match="5000 tags"):
        tiff.check_directory(io.BytesIO(bomb(5000, 1 << 17)))


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0+" * 9])
def test_what_has_no_directory_is_left_to_others(data: bytes) -> None:
    tiff.check_directory(io.BytesIO(data))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg"])
def test_honest_files_pass(compression: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF", compression=compression, dpi=(72, 72))
    found = images.read_image(stream.getvalue())
    if compression != "jpeg":
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_exif_data_is_looked_at_too(kind: str) -> None:
    stream = io.BytesIO()
    exif = b"Exif\0\0" + bomb(400, 1 << 15)
    Image.new("RGB", (8, 8)).save(stream, kind, exif=exif)
    with pytest.raises(images.UnreadableImageError, match=r"tags of \d+ bytes"):
        images.read_image(stream.getvalue())
