"""Folders and zip files, sound and hostile, with every kind of label."""

import io
import json
import logging
import os
import random
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.io.images import encode_png, write_png


def picture(seed: int, size: int = 16, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size, size, channels), dtype=np.uint8)


def fill(folder: Path, names: list[str]) -> list[np.ndarray]:
    pictures = [picture(i) for i in range(len(names))]
    for name, image in zip(names, pictures, strict=True):
        write_png(folder / name, image)
    return pictures


def open_folder(path: Path, **options):
    return open_source(DataConfig(name="folder", path=str(path), **options))


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def open_zip(path: Path, **options):
    return open_source(DataConfig(name="zip", path=str(path), **options))


def hostile_files() -> dict[str, bytes]:
    sound = encode_png(picture(9))
    jpeg = io.BytesIO()
    Image.fromarray(picture(9, 64)).save(jpeg, "JPEG")
    return {
        "._a.png": sound,
        ".DS_Store": b"\0\0\0\1Bud1",
        "Thumbs.db": b"\xd0\xcf\x11\xe0",
        "__MACOSX/a.png": sound,
        "empty.png": b"",
        "cut.png": sound[: len(sound) // 2],
        "cut.jpg": jpeg.getvalue()[:-200],
        "words.png": b"these are words",
        "header only.jpg": b"\xff\xd8\xff\xe0",
    }


def test_images_of_nested_folders_come_in_the_order_of_their_paths(tmp_path):
    names = ["b/2.png", "a/x/1.png", "c.png", "UPPER.PNG", "no extension"]
    pictures = dict(zip(names, fill(tmp_path, names), strict=True))
    source = open_folder(tmp_path)
    assert len(source) == 5
    assert source.label_size == 0
    assert source.label(0).shape == (0,)
    for index, name in enumerate(sorted(names)):
        np.testing.assert_array_equal(source.image(index, 16), pictures[name])


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_hostile_files_are_skipped_counted_and_listed(tmp_path, kind, caplog):
    files = {f"{i}.png": encode_png(picture(i)) for i in range(3)} | hostile_files()
    if kind == "folder":
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        source = open_folder(tmp_path)
    else:
        source = open_zip(make_zip(tmp_path / "a.zip", files))
    assert len(source) == 3
    assert {skip.name for skip in source.skipped} == set(hostile_files())
    assert all(skip.reason for skip in source.skipped)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "9 of 12 files" in record.getMessage()
    listed = [name for name in hostile_files() if repr(name) in record.getMessage()]
    assert len(listed) == 5
    np.testing.assert_array_equal(source.image(2, 16), picture(2))


def test_a_pipe_or_a_link_to_nowhere_or_above_does_no_harm(tmp_path):
    pictures = fill(tmp_path, ["a/1.png", "a/2.png"])
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    source = open_folder(tmp_path)
    assert {skip.name for skip in source.skipped} == {"pipe.png", "gone.png"}
    np.testing.assert_array_equal(source.image(1, 16), pictures[1])


def test_damage_found_late_is_replaced_by_the_next_image_with_its_label(
    tmp_path, caplog
):
    pictures = fill(tmp_path, [f"{c}/{i}.png" for i in range(3) for c in "ab"])
    source = open_folder(tmp_path, labels="folders")
    data = bytearray((tmp_path / "a" / "2.png").read_bytes())
    data[60:80] = bytes(20)  # the header and the end stay whole
    (tmp_path / "a" / "2.png").write_bytes(data)
    np.testing.assert_array_equal(source.label(2), [1, 0])
    np.testing.assert_array_equal(source.image(2, 16), pictures[1])  # b/0.png
    np.testing.assert_array_equal(source.label(2), [0, 1])
    assert list(source.replaced) == [2]
    assert "next one takes its place" in caplog.text


def test_when_most_images_are_damaged_the_run_ends_with_an_error(tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(4)])
    source = open_folder(tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(b"overwritten")
    with pytest.raises(UserError, match=r"3 of 4 images .* damaged"):
        source.image(0, 16)


def test_classes_come_from_the_first_folders_that_differ(tmp_path):
    names = ["top/cat/x/1.png", "top/cat/2.png", "top/dog/3.png", "top/stray.png"]
    fill(tmp_path, names)
    source = open_folder(tmp_path, labels="folders")
    assert source.label_names == ("cat", "dog")
    labels = [source.label(i).tolist() for i in range(len(source))]
    assert labels == [[1, 0], [1, 0], [0, 1]]
    assert source.skipped == (("top/stray.png", "no label"),)


def test_a_csv_table_is_matched_by_path_name_or_stem(tmp_path):
    fill(tmp_path, ["a/1.png", "a/2.png", "b/1.png", "b/3.png", "b/4.png"])
    (tmp_path / "labels.csv").write_text(
        "\ufeffImage ID;Sender;Label\n"
        "a/1.png;x; red \nb/1;x;blue\n2.png;x;red\n3;x;blue\n4;x;\nlost.png;x;green\n",
        encoding="utf-8",
    )
    source = open_folder(tmp_path, labels="csv")
    assert source.label_names == ("blue", "red")  # green has no image
    labels = [source.label(i).argmax() for i in range(len(source))]
    assert labels == [1, 1, 0, 0]  # a/1, a/2, b/1, b/3
    assert source.skipped == (("b/4.png", "no label"),)


def test_a_csv_name_that_fits_two_files_is_not_guessed(tmp_path):
    fill(tmp_path, ["a/1.png", "b/1.png", "c.png", "d.png"])
    (tmp_path / "t.csv").write_text("1.png,x\nc.png,y\nd.png,x\n")  # no headings
    source = open_folder(tmp_path, labels="t.csv")
    assert len(source) == 2


def test_numeric_classes_are_in_numeric_order(tmp_path):
    fill(tmp_path, [f"{i}/a.png" for i in (2, 10, 1)])
    source = open_folder(tmp_path, labels="folders")
    assert source.label_names == ("1", "2", "10")
    # Sorted by path: 1/, 10/, 2/.
    assert [source.label(i).argmax() for i in range(3)] == [0, 2, 1]


@pytest.mark.parametrize("inside", ["", "my data/"])
def test_the_zip_of_stylegan2_ada_gives_its_class_numbers(tmp_path, inside):
    names = [f"00000/img{i:08d}.png" for i in range(4)]
    labels = {"labels": [[name, [3, 0, 1, 3][i]] for i, name in enumerate(names)]}
    files = {inside + name: encode_png(picture(i)) for i, name in enumerate(names)}
    files[inside + "dataset.json"] = json.dumps(labels).encode()
    source = open_zip(make_zip(tmp_path / "ada.zip", files), labels="json")
    assert source.label_size == 4  # the largest number and one, as ADA counts
    one_hot = np.stack([source.label(i) for i in range(4)])
    np.testing.assert_array_equal(one_hot, np.eye(4)[[3, 0, 1, 3]])
    assert one_hot.dtype == np.float32
    np.testing.assert_array_equal(source.image(2, 16), picture(2))


def test_vector_labels_are_kept_as_they_are(tmp_path):
    files = {f"{i}.png": encode_png(picture(i)) for i in range(2)}
    labels = [["0.png", [0.5, -1.0, 2]], ["1.png", [0, 0, 0.25]]]
    files["dataset.json"] = json.dumps({"labels": labels}).encode()
    source = open_zip(make_zip(tmp_path / "a.zip", files), labels="json")
    np.testing.assert_array_equal(source.label(0), np.float32([0.5, -1.0, 2]))
    np.testing.assert_array_equal(source.label(1), np.float32([0, 0, 0.25]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"labels": null}', "no labels; use labels=none"),
        (b"[1, 2", "is not"),
        (b'{"labels": [["0.png", null]]}', "is not"),
        (b'{"labels": [["x.png", 1]]}', "no row of dataset.json .* 'x.png'"),
        (b'{"labels": [["0.png", [1]], ["1.png", [1, 2]]]}', "differ in length"),
        (b'{"labels": [["0.png", [NaN]], ["1.png", [1]]]}', "not finite"),
        (b'{"labels": [["0.png", 7], ["1.png", 3000000]]}', "to 3000000 are not"),
        (b'{"labels": [["0.png", 1], ["1.png", "a"]]}', "all numbers"),
        (b'{"labels": [["0.png", -1], ["1.png", 0]]}', "from -1 to 0 are not"),
    ],
)
def test_an_unusable_dataset_json_is_explained(tmp_path, content, message):
    files = {f"{i}.png": encode_png(picture(i)) for i in range(2)}
    path = make_zip(tmp_path / "a.zip", files | {"dataset.json": content})
    with pytest.raises(UserError, match=message):
        open_zip(path, labels="json")
    assert len(open_zip(path)) == 2  # without labels it does not matter


def test_hostile_zip_members_are_skipped_and_nothing_is_extracted(tmp_path):
    bomb = b"BM" + bytes(5_000_000)
    files = {f"{i}.png": encode_png(picture(i)) for i in range(2)}
    files |= {"../../evil.png": encode_png(picture(5)), "bomb.bmp": bomb}
    path = tmp_path / "a.zip"
    make_zip(path, files | {"secret.png": encode_png(picture(6))})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"secret.png") - 46  # its entry in the central directory
    data[entry + 8] |= 1  # the bit that says: encrypted
    path.write_bytes(data)
    source = open_zip(path)
    reasons = dict(source.skipped)
    assert reasons.pop("secret.png") == "encrypted"
    assert "5000002" in reasons.pop("bomb.bmp")
    assert not {*reasons} - {"../../evil.png"}
    assert not (tmp_path.parent / "evil.png").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_member_with_a_wrong_checksum_is_replaced(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(4):
            archive.writestr(f"{i}.png", encode_png(picture(i, 256)))
    data = bytearray(path.read_bytes())
    data[data.index(b"1.png") + 100_000] ^= 0xFF
    path.write_bytes(data)
    source = open_zip(path)
    assert len(source) == 4  # its header is sound, and too large to be read at once
    np.testing.assert_array_equal(source.image(1, 256), picture(2, 256))
    assert list(source.replaced) == [1]


def test_a_broken_zip_is_a_clear_error(tmp_path):
    whole = make_zip(tmp_path / "a.zip", {"1.png": encode_png(picture(1))})
    (tmp_path / "half.zip").write_bytes(whole.read_bytes()[:200])
    with pytest.raises(UserError, match=r"half.zip' is not a whole zip file"):
        open_zip(tmp_path / "half.zip")
    with pytest.raises(UserError, match="there is no zip file"):
        open_zip(tmp_path / "none.zip")
    with pytest.raises(UserError, match="use name=folder"):
        open_zip(tmp_path)
    with pytest.raises(UserError, match="use name=zip"):
        open_folder(whole)


def test_too_few_images_names_the_folder_the_counts_and_the_reasons(tmp_path):
    for name, data in hostile_files().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(UserError) as error:
        open_folder(tmp_path)
    message = str(error.value)
    assert str(tmp_path) in message
    assert "0 usable images" in message
    assert "9 files were seen, 9 of them skipped" in message
    assert "4 a hidden or system file" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "folders"}, "two sub-folders"),
        ({"labels": "json"}, "has no dataset.json"),
        ({"labels": "other.csv"}, "has no other.csv"),
        ({"labels": "csv"}, "no row of labels.csv names one of the 3 images"),
        ({"labels": "wide.csv"}, "columns a, b, c; name"),
        ({"labels": "empty.csv"}, "empty.csv is empty"),
    ],
)
def test_labels_that_are_not_there_are_explained(tmp_path, options, message):
    fill(tmp_path, ["1.png", "2.png", "3.png"])
    (tmp_path / "labels.csv").write_text("file,label\nx.png,a\n")
    (tmp_path / "wide.csv").write_text("a,b,c\n1.png,2,3\n")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match=message):
        open_folder(tmp_path, **options)


def test_crop_none_refuses_what_is_not_square(tmp_path):
    fill(tmp_path, ["1.png", "2.png"])
    write_png(tmp_path / "wide.png", picture(1)[:8])
    assert open_folder(tmp_path).image(2, 8).shape == (8, 8, 3)
    with pytest.raises(UserError, match=r"1 of 3 .*wide.png. with 16x8; use crop"):
        open_folder(tmp_path, crop="none")


def test_enlarging_is_counted_and_warned_of_once(tmp_path, caplog):
    fill(tmp_path, ["1.png", "2.png"])
    write_png(tmp_path / "3.png", picture(3, 64))
    source = open_folder(tmp_path)
    for index in (0, 1, 2, 0):
        assert source.image(index, 32).shape == (32, 32, 3)
    assert caplog.text.count("2 of 3 images") == 1


def test_pad_puts_small_images_on_black(tmp_path):
    for i in range(2):
        write_png(tmp_path / f"{i}.png", picture(i, 28, 1))
    source = open_folder(tmp_path, pad=True, num_channels=1)
    image = source.image(1, 32)
    np.testing.assert_array_equal(image[2:30, 2:30], picture(1, 28, 1))
    assert not image[:2].any()


def test_max_images_draws_from_everywhere_by_the_seed(tmp_path):
    fill(tmp_path, [f"{c}/{i:02d}.png" for c in "ab" for i in range(20)])
    options = {"labels": "folders", "max_images": 10}
    source = open_folder(tmp_path, **options)
    assert len(source) == 10
    classes = sum(source.label(i) for i in range(10))
    assert classes.min() >= 2  # the first ten would be all of class a
    again, other = (
        open_folder(tmp_path, **options),
        open_folder(tmp_path, **options, seed=1),
    )
    same = [(source.image(i, 16) == again.image(i, 16)).all() for i in range(10)]
    differ = [(source.image(i, 16) != other.image(i, 16)).any() for i in range(10)]
    assert all(same)
    assert any(differ)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_number_of_channels_comes_from_every_file(tmp_path, channels):
    for i, kind in enumerate([1, 2, 3, 4]):
        write_png(tmp_path / f"{i}.png", picture(i, 16, kind))
    source = open_folder(tmp_path, num_channels=channels)
    for i in range(4):
        assert source.image(i, 8).shape == (8, 8, channels)


def test_six_thousand_real_photographs_open_within_seconds(shared_dir):
    start = time.perf_counter()
    folder = shared_dir / "data" / "clothing128"
    source = open_folder(folder, labels="csv")
    assert time.perf_counter() - start < 10  # 1.5 s on two idle cores
    assert (len(source), source.label_size) == (5398, 20)
    counts = np.zeros(20)
    for index in random.Random(0).sample(range(len(source)), 50):
        counts += source.label(index)
    assert counts.sum() == 50
    assert "T-Shirt" in source.label_names
