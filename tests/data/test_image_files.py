"""Folders and zip files, sound, damaged and hostile: images, depth, fingerprints."""

import io
import logging
import os
import re
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.data import stored_images
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import photos
from stylegan_jax.io import listing, outputs
from stylegan_jax.io.images import encode_png, write_png
from tests.data.files import fill, labels_of, make_zip, opened, picture, pictures
from tests.io.picture_bombs import encoded

IMAGES = ["a.png", "b.JPE", "c.jfif", "d.ppm", "e.pgm", "f.Tif", "sub/g.webp", "h"]
JUNK = ["._a.png", ".DS_Store", "Thumbs.db", "__MACOSX/a.png", "sub/.x/a.png"]


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def hostile_files() -> dict[str, bytes]:
    sound = encode_png(picture(9))
    jpeg = io.BytesIO()
    Image.fromarray(picture(9, 64)).save(jpeg, "JPEG")
    return {
        **dict.fromkeys(["._a.png", ".DS_Store", "Thumbs.db", "__MACOSX/a.png"], sound),
        "empty.png": b"",
        "cut.png": sound[: len(sound) // 2],
        "cut.jpg": jpeg.getvalue()[:-200],
        "words.png": b"these are words",
        "header only.jpg": b"\xff\xd8\xff\xe0",
    }


def test_images_of_nested_folders_come_in_the_order_of_their_paths(tmp_path):
    names = ["b/2.png", "a/x/1.png", "c.png", "UPPER.PNG", "no extension"]
    source = opened(fill(tmp_path, names))
    assert (len(source), source.label_size, source.label(0).shape) == (5, 0, (0,))
    for index, name in enumerate(sorted(names)):
        expected = picture(names.index(name))
        np.testing.assert_array_equal(source.image(index, 16), expected)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_hostile_files_are_skipped_counted_and_listed(tmp_path, kind, caplog):
    files = pictures(3) | hostile_files()
    if kind == "folder":
        source = opened(fill(tmp_path, files))
    else:
        source = opened(make_zip(tmp_path / "a.zip", files))
    assert len(source) == 3
    assert source.skipped.keys() == hostile_files().keys()
    assert all(source.skipped.values())
    (said,) = warnings(caplog)
    assert "9 of 12 files" in said
    assert sum(repr(name) in said for name in hostile_files()) == 5
    np.testing.assert_array_equal(source.image(2, 16), picture(2))


def test_too_few_images_names_the_folder_the_counts_and_the_reasons(tmp_path):
    with pytest.raises(UserError) as error:
        opened(fill(tmp_path, hostile_files()))
    for words in (
        str(tmp_path),
        "0 usable images",
        "9 files were seen, 9 of them skipped",
        "4 a hidden or system file",
    ):
        assert words in str(error.value)


def test_training_and_inversion_find_the_same_images(tmp_path):
    kinds = {".jpe": "JPEG", ".jfif": "JPEG", ".ppm": "PPM", ".pgm": "PPM"}
    kinds |= {".tif": "TIFF", ".webp": "WEBP"}
    for name in IMAGES + JUNK:
        suffix = os.path.splitext(name)[1].lower()
        fill(tmp_path, {name: encoded(kinds.get(suffix, "PNG"))})
    fill(tmp_path, {"notes.txt": "no image"})
    source = opened(tmp_path)
    assert source.skipped.keys() == {*JUNK, "notes.txt"}
    expected = [tmp_path / name for name in sorted(IMAGES)]
    assert len(source) == len(expected)
    assert listing.list_images(tmp_path) == expected
    assert photos.listed([tmp_path]) == expected
    found, refused = photos.read(photos.listed([tmp_path]), 8, 3, aligned=False)
    assert len(found) == len(expected) and not refused


def test_inversion_names_a_broken_image_and_leaves_our_results_out(tmp_path):
    fill(tmp_path, ["a.png", "a_stages.png"])  # a photograph of this name
    outputs.write_png(tmp_path / "a_loss.png", np.zeros((8, 8, 3), np.uint8), "sheet")
    fill(tmp_path, {"b.ppm": b"broken"})
    files = photos.listed([tmp_path])
    assert [file.name for file in files] == ["a.png", "a_stages.png", "b.ppm"]
    _, refused = photos.read(files, 8, 3, aligned=False)
    assert [file.path.name for file in refused] == ["b.ppm"]


def test_a_pipe_a_link_to_nowhere_or_above_and_a_huge_file_do_no_harm(tmp_path):
    fill(tmp_path, ["a/1.png", "a/2.png", "huge.png"])
    with (tmp_path / "huge.png").open("r+b") as file:
        file.truncate((1 << 29) + 1)  # takes no room on disk
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    source = opened(tmp_path)
    assert source.skipped.keys() == {"pipe.png", "gone.png", "huge.png"}
    np.testing.assert_array_equal(source.image(1, 16), picture(1))


def test_hostile_zip_members_are_skipped_and_nothing_is_extracted(tmp_path):
    files = pictures(2) | {"../../evil.png": encode_png(picture(5))}
    files |= {
        "bomb.bmp": b"BM" + bytes(5_000_000),
        "secret.png": encode_png(picture(6)),
    }
    path = make_zip(tmp_path / "a.zip", files)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"secret.png") - 46  # its entry in the central directory
    data[entry + 8] |= 1  # the bit that says: encrypted
    path.write_bytes(data)
    reasons = dict(opened(path).skipped)
    assert reasons.pop("secret.png") == "encrypted"
    assert "5000002" in reasons.pop("bomb.bmp")
    assert not {*reasons} - {"../../evil.png"}
    assert not (tmp_path.parent / "evil.png").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


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
        archive.writestr("0.tif", moved)
        archive.writestr("1.tif", moved)
    np.testing.assert_array_equal(opened(path).image(0, 400), picture(0, 400))


def test_damage_found_late_is_replaced_by_the_next_image_with_its_label(
    tmp_path, caplog
):
    names = [f"{c}/{i}.png" for i in range(3) for c in "ab"]
    source = opened(fill(tmp_path, names), labels="folders")
    data = bytearray((tmp_path / "a" / "2.png").read_bytes())
    data[60:80] = bytes(20)  # the header and the end stay whole
    (tmp_path / "a" / "2.png").write_bytes(data)
    np.testing.assert_array_equal(source.label(2), [1, 0])
    np.testing.assert_array_equal(source.image(2, 16), picture(1))  # b/0.png
    np.testing.assert_array_equal(source.label(2), [0, 1])
    assert list(source.replaced) == [2]
    assert "next one takes its place" in caplog.text


def test_a_member_with_a_wrong_checksum_is_replaced(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures(4, 256).items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.index(b"1.png") + 100_000] ^= 0xFF
    path.write_bytes(data)
    source = opened(path)
    assert len(source) == 4  # its header is sound, and too large to be read at once
    np.testing.assert_array_equal(source.image(1, 256), picture(2, 256))
    assert list(source.replaced) == [1]


def test_when_most_images_are_damaged_the_run_ends_with_an_error(tmp_path):
    source = opened(fill(tmp_path, [f"{i}.png" for i in range(4)]))
    for file in tmp_path.iterdir():
        file.write_bytes(b"overwritten")
    with pytest.raises(UserError, match=r"3 of 4 images .* damaged"):
        source.image(0, 16)


def test_a_path_that_is_not_what_it_should_be_is_a_clear_error(tmp_path):
    whole = make_zip(tmp_path / "a.zip", pictures(1))
    (tmp_path / "half.zip").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(UserError, match=r"half.zip' is not a whole zip file"):
        opened(tmp_path / "half.zip")
    with pytest.raises(UserError, match=r"none.zip' is not .*No such file"):
        opened(tmp_path / "none.zip")
    with pytest.raises(UserError, match="a folder, not a file"):
        opened(tmp_path / "folder.zip")
    with pytest.raises(UserError, match="use name=zip"):
        opened(whole.rename(tmp_path / "a"))
    with pytest.raises(UserError, match=r"there is no folder .*nothing here"):
        opened(tmp_path / "nothing here")


def test_crop_none_refuses_what_is_not_square(tmp_path):
    fill(tmp_path, pictures(2) | {"wide.png": encode_png(picture(1)[:8])})
    assert opened(tmp_path).image(2, 8).shape == (8, 8, 3)
    with pytest.raises(UserError, match=r"1 of 3 .*wide.png. with 16x8; use crop"):
        opened(tmp_path, crop="none")


def test_enlarging_is_counted_and_warned_of_once(tmp_path, caplog):
    fill(tmp_path, pictures(2) | {"3.png": encode_png(picture(3, 64))})
    source = opened(tmp_path)
    for index in (0, 1, 2, 0):
        assert source.image(index, 32).shape == (32, 32, 3)
    assert caplog.text.count("2 of 3 images") == 1


def test_pad_puts_small_images_on_black(tmp_path):
    for i in range(2):
        write_png(tmp_path / f"{i}.png", picture(i, 28, 1))
    image = opened(tmp_path, pad=True, num_channels=1).image(1, 32)
    np.testing.assert_array_equal(image[2:30, 2:30], picture(1, 28, 1))
    assert not image[:2].any()


def test_max_images_draws_from_everywhere_by_the_seed(tmp_path):
    fill(tmp_path, [f"{c}/{i:02d}.png" for c in "ab" for i in range(20)])
    options = {"labels": "folders", "max_images": 10}
    source, again = opened(tmp_path, **options), opened(tmp_path, **options)
    other = opened(tmp_path, **options, seed=1)
    assert len(source) == 10
    assert np.sum(labels_of(source), axis=0).min() >= 2  # not the first of class a
    images = [
        np.stack([x.image(i, 16) for i in range(10)]) for x in (source, again, other)
    ]
    assert (images[0] == images[1]).all() and (images[0] != images[2]).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_number_of_channels_comes_from_every_file(tmp_path, channels):
    for kind in (1, 2, 3, 4):
        write_png(tmp_path / f"{kind}.png", picture(kind, 16, kind))
    source = opened(tmp_path, num_channels=channels)
    assert {source.image(i, 8).shape for i in range(4)} == {(8, 8, channels)}


def write_deep(folder, values, dtype=np.uint16):
    folder.mkdir(exist_ok=True)
    for i, high in enumerate(values):
        ramp = np.linspace(0, high, 64).reshape(8, 8).astype(dtype)
        Image.fromarray(ramp).save(folder / f"{i}.tif")


@pytest.mark.parametrize(
    ("values", "dtype", "white", "expected", "said"),
    [
        ([300, 4092, 1000], np.uint16, None, [19, 255, 62],
         "3 16-bit files .* 4092: read as 12 bits; `data.white` 65535 says oth",),
        ([300, 4092], np.uint16, 65535, [1, 16], None),
        ([300, 60_000], np.uint16, None, [1, 233], None),  # one bright file: 16 bits
        ([255, 200], np.int32, None, [255, 200], "2 32-bit files .*read as 8 bits"),
        ([1.0, 0.5], np.float32, None, [255, 128], None),
        ([1.0, 912.0], np.float32, 912.0, [0, 255], None),
    ],
)  # fmt: skip
def test_deep_files_are_read_by_what_all_of_them_use(
    tmp_path, caplog, values, dtype, white, expected, said
):
    write_deep(tmp_path, values, dtype)
    source = opened(tmp_path, num_channels=1, white=white)
    assert [source.image(i, 8).max() for i in range(len(values))] == expected
    assert len(warnings(caplog)) == (said is not None)
    caplog_text = "".join(warnings(caplog))
    assert said is None or re.match(said, caplog_text)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1.0, 912.0], {}, r"'1.tif' .* floats up to 912.*white` 912"),
        ([1.0, 912.0], {"white": 0.0}, r"data.white is 0.*, not a positive number"),
        ([-1.0, -2.0], {}, "values from -1 to 0"),
    ],
)
def test_other_floats_are_refused_when_the_data_is_opened(
    tmp_path, values, options, words
):
    write_deep(tmp_path, values, np.float32)
    with pytest.raises(UserError, match=words):
        opened(tmp_path, **options)


def test_a_fingerprint_is_of_the_bytes_of_the_images_used(tmp_path, monkeypatch):
    folder = fill(tmp_path / "photos", pictures(4))

    def mark(path=folder, indices=(0, 1), **options):
        return opened(path, **options).fingerprint(indices, 8)

    before = mark()
    assert mark() == before == mark(make_zip(tmp_path / "a.zip", pictures(4)))
    fill(folder, {"3.png": encode_png(picture(9))})  # not used
    assert mark() == before
    others = {before, mark(indices=(0,)), mark(num_channels=1), mark(pad=True)}
    fill(folder, {"1.png": encode_png(picture(9))})
    others.add(mark())
    (folder / "0.png").rename(folder / "9.png")
    others.add(mark())
    assert len(others) == 6
    monkeypatch.setattr(stored_images.images, "read_image", None)
    assert mark(indices=range(4))  # nothing is decoded
    write_deep(tmp_path / "deep", [300, 4092])
    deep = [mark(tmp_path / "deep", white=white) for white in (None, 65535)]
    assert deep[0] != deep[1]
