"""Zip files, folders and prepared data that a stranger made to do harm."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.pyramid_writer import write_pyramid
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.io.images import encode_png, write_png


def picture(seed: int, size: int = 16, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size, size, channels), dtype=np.uint8)


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def open_zip(path: Path, **options):
    return open_source(DataConfig(name="zip", path=str(path), **options))


def deep(table: object) -> bytes:
    return json.dumps({"labels": [["0.png", table], ["1.png", 1]]}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"labels": ' + b"[" * 100_000, "RecursionError"),
        (deep([10**400]), "OverflowError"),
        (deep(10**30), "class numbers from 1 to 10{30}"),
        (deep(-1), "class numbers from -1"),
        (deep({}), "neither a class nor a vector"),
        (b" " * (3 << 20), "unpacks from"),
    ],
)
def test_a_hostile_dataset_json_is_explained(tmp_path, content, message):
    files = {f"{i}.png": encode_png(picture(i)) for i in range(2)}
    path = make_zip(tmp_path / "a.zip", files | {"dataset.json": content})
    with pytest.raises(UserError, match=message):
        open_zip(path, labels="json")


def test_a_class_whose_name_is_a_very_long_number_is_a_name(tmp_path):
    table = "file,label\n0.png," + "9" * 5000 + "\n1.png,2\n"
    files = {f"{i}.png": encode_png(picture(i)) for i in range(2)}
    path = make_zip(tmp_path / "a.zip", files | {"labels.csv": table.encode()})
    source = open_zip(path, labels="csv")
    assert source.label_size == 2
    np.testing.assert_array_equal(source.label(1), [1, 0])  # numbers come first


def test_the_header_of_a_large_member_may_be_anywhere(tmp_path):
    """TIFF's are often at the end; what does not do with the start is read whole."""
    stream = io.BytesIO()
    Image.fromarray(picture(0, 400)).save(stream, "TIFF")
    data = stream.getvalue()
    # Its directory moved behind half a megabyte of nothing.
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    table = data[offset : offset + 2 + 12 * count + 4]
    moved = data.ljust(1 << 20, b"\0") + table
    moved = moved[:4] + struct.pack("<I", 1 << 20) + moved[8:]
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(2):
            archive.writestr(f"{i}.tif", moved)
    source = open_zip(path)
    np.testing.assert_array_equal(source.image(0, 400), picture(0, 400))


def test_a_file_too_large_for_an_image_is_skipped_unread(tmp_path):
    for i, name in enumerate(["a.png", "b.png", "c.png"]):
        write_png(tmp_path / name, picture(i))
    with (tmp_path / "c.png").open("r+b") as file:
        file.truncate((1 << 29) + 1)  # takes no room on disk
    source = open_source(DataConfig(name="folder", path=str(tmp_path)))
    assert [skip.name for skip in source.skipped] == ["c.png"]


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pyramid")
    for i in range(3):
        write_png(folder / "photos" / f"{i % 2}" / f"{i}.png", picture(i))
    photos = DataConfig(name="folder", path=str(folder / "photos"), labels="folders")
    write_pyramid(open_source(photos), folder / "made", resolution=16)
    return folder / "made"


def altered(pyramid: Path, dest: Path, change: dict[str, Any]) -> DataConfig:
    """A copy of a pyramid with another index."""
    dest.mkdir()
    for file in pyramid.iterdir():
        (dest / file.name).write_bytes(file.read_bytes())
    index = json.loads((pyramid / "index.json").read_text()) | change
    (dest / "index.json").write_text(json.dumps(index))
    return DataConfig(name="pyramid", path=str(dest), labels="stored")


def test_a_pyramid_is_read_as_it_was_made(pyramid, tmp_path):
    source = open_source(altered(pyramid, tmp_path / "a", {}))
    assert source.label_size == 2
    assert len(source) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": {}}, "no images"),
        ({"levels": {"16": [{"file": "/dev/zero"}]}}, "no file '/dev/zero'"),
        ({"levels": {"16": [{"file": "../made/index.json"}]}}, "no file '../made"),
        ({"levels": {"16": ["x"]}}, "damaged"),
        ({"levels": {"9" * 30: []}}, "damaged"),
        ({"levels": [1]}, "damaged"),
        ({"num_images": 1 << 50}, "images"),
        ({"num_images": "3"}, "no images"),
        ({"num_channels": 1 << 50}, "channels"),
        ({"labels": {"file": "/etc/passwd", "size": 2, "names": []}}, "no file"),
        ({"labels": {"file": "labels.npy", "size": 1 << 50, "names": []}}, "classes"),
        ({"labels": {"file": "labels.npy", "size": 1, "names": []}}, "classes"),
        ({"labels": {"file": "index.json", "size": 1, "names": []}}, "damaged"),
    ],
)
def test_a_hostile_index_reaches_no_other_file_and_no_memory(
    pyramid, tmp_path, change, message
):
    with pytest.raises(UserError, match=message):
        open_source(altered(pyramid, tmp_path / "a", change))


def test_images_of_another_size_than_promised_are_explained(pyramid, tmp_path):
    levels = json.loads((pyramid / "index.json").read_text())["levels"]
    source = open_source(
        altered(pyramid, tmp_path / "a", {"levels": {"8": levels["16"]}})
    )
    with pytest.raises(UserError, match="768 bytes at 8 px, not 192"):
        source.image(0, 8)
