"""Prepared data against the official recipe, the command, and hostile indices."""

import json
import os

import numpy as np
import pytest

from stylegan_jax.commands import prepare_data
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.pyramid_writer import halve, write_pyramid
from stylegan_jax.data.sources import ArraySource, open_source
from stylegan_jax.errors import UserError
from tests.data.files import fill, opened, pictures


def official_levels(image):
    """The recipe of the official dataset_tool.py, `add_image`, on `[C, H, W]`."""
    image, levels = image.transpose(2, 0, 1), {}
    while True:
        quant = np.rint(image).clip(0, 255).astype(np.uint8)
        levels[image.shape[1]] = quant.transpose(1, 2, 0)
        if image.shape[1] == 4:
            return levels
        x = quant.astype(np.float32)
        image = (
            x[:, 0::2, 0::2] + x[:, 0::2, 1::2] + x[:, 1::2, 0::2] + x[:, 1::2, 1::2]
        ) * 0.25


@pytest.fixture
def photos(tmp_path):
    images = pictures(9, 32).values()
    files = {f"{'ab'[i % 2]}/{i}.png": data for i, data in enumerate(images)}
    return fill(tmp_path / "photos", files)


def open_pyramid(path, **options):
    return open_source(DataConfig(name="pyramid", path=str(path), **options))


def run(*words: object) -> None:
    prepare_data.main([str(word) for word in words])


def test_every_level_is_that_of_the_official_tool(photos, tmp_path, capsys):
    dest = tmp_path / "new" / "prepared"
    run("--data.name", "folder", "--data.path", photos, "--data.labels", "folders",
        "--dest", dest, "--resolution", 32)  # fmt: skip
    assert "9 images at 4 to 32 px" in capsys.readouterr().out
    source = opened(photos, labels="folders")
    prepared = open_pyramid(dest, labels="stored")
    assert len(prepared) == 9
    assert prepared.resolutions == (4, 8, 16, 32)
    assert prepared.label_names == ("a", "b")
    for index in range(9):
        for level, expected in official_levels(source.image(index, 32)).items():
            np.testing.assert_array_equal(prepared.image(index, level), expected)
        np.testing.assert_array_equal(prepared.label(index), source.label(index))


def test_levels_are_rounded_one_after_the_other():
    # Means 0.5, 0.5, 0.5, 2.5 round to 0, 0, 0, 2 (half to even), whose mean 0.5
    # rounds to 0; the mean of all sixteen is 1.
    image = np.zeros((4, 4, 1), np.uint8)
    image[0, 0] = image[0, 2] = image[2, 0] = 2
    image[2, 2] = 10
    np.testing.assert_array_equal(halve(image)[:, :, 0], [[0, 0], [0, 2]])
    np.testing.assert_array_equal(halve(halve(image))[:, :, 0], [[0]])


def test_the_index_accounts_for_every_image_of_every_shard(photos, tmp_path):
    source = opened(photos)
    advanced = []
    dest = tmp_path / "prepared"
    write_pyramid(
        source,
        dest,
        resolution=32,
        shard_bytes=4 * 32 * 32 * 3,
        advance=advanced.append,
    )
    assert sum(advanced) == 9
    index = json.loads((dest / "index.json").read_text())
    assert (index["num_images"], index["num_channels"]) == (9, 3)
    assert index["labels"] is None
    assert [shard["count"] for shard in index["levels"]["32"]] == [4, 4, 1]
    listed = {shard["file"] for level in index["levels"].values() for shard in level}
    assert {*os.listdir(dest)} == listed | {"index.json"}
    prepared = open_pyramid(dest)
    for i in range(9):
        np.testing.assert_array_equal(prepared.image(i, 32), source.image(i, 32))


def test_vector_labels_are_stored_as_they_are(photos, tmp_path):
    labels = [[f"{'ab'[i % 2]}/{i}.png", [i / 2, -1.0]] for i in range(9)]
    (photos / "dataset.json").write_text(json.dumps({"labels": labels}))
    source = opened(photos, labels="json")
    write_pyramid(source, tmp_path / "p", resolution=4)
    prepared = open_pyramid(tmp_path / "p", labels="stored", max_images=5)
    chosen = np.sort(np.random.default_rng(0).permutation(9)[:5])
    for place, index in enumerate(chosen):
        np.testing.assert_array_equal(prepared.label(place), source.label(index))
        np.testing.assert_array_equal(
            prepared.image(place, 4), official_levels(source.image(index, 4))[4]
        )


def test_damaged_images_are_left_out(photos, tmp_path):
    source = opened(photos)
    (photos / "a" / "2.png").write_bytes(b"overwritten since")
    assert write_pyramid(source, tmp_path / "p", resolution=32) == 8
    prepared = open_pyramid(tmp_path / "p")
    kept = [i for i in range(9) if i != 1]  # a/0, a/2, a/4, ...
    for place, index in enumerate(kept):
        np.testing.assert_array_equal(
            prepared.image(place, 32), source.image(index, 32)
        )


def test_a_finished_pyramid_is_not_overwritten(photos, tmp_path):
    words = ["--data.name", "folder", "--data.path", photos, "--resolution", 8]
    run(*words, "--dest", tmp_path / "p")
    with pytest.raises(UserError, match=r"finished pyramid already; .* delete"):
        run(*words, "--dest", tmp_path / "p")
    with pytest.raises(UserError, match="not an empty folder"):
        run(*words, "--dest", photos)


def test_an_interrupted_preparation_leaves_nothing_behind(photos, tmp_path):
    def interrupt(count):
        raise KeyboardInterrupt

    source = opened(photos)
    with pytest.raises(KeyboardInterrupt):
        write_pyramid(source, tmp_path / "p", resolution=8, advance=interrupt)
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("resolution", [0, 2, 24])
def test_a_resolution_must_be_a_power_of_two(photos, tmp_path, resolution):
    words = ["--data.name", "folder", "--data.path", photos, "--dest", tmp_path / "p"]
    with pytest.raises(UserError, match=f"resolution {resolution} is not"):
        run(*words, "--resolution", resolution)


def test_a_full_disk_is_foreseen(photos, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    source = opened(photos)
    with pytest.raises(UserError, match="GB are needed"):
        write_pyramid(source, tmp_path / "p", resolution=32)


def test_damage_is_told_apart_from_absence(photos, tmp_path):
    source = opened(photos)
    path = tmp_path / "p"
    write_pyramid(source, path, resolution=32)
    with pytest.raises(UserError, match="prepared for 4 to 32 px, not 64"):
        open_pyramid(path).image(0, 64)
    with pytest.raises(UserError, match="without labels"):
        open_pyramid(path, labels="stored")
    shard = path / "r0032-00000.array_record"
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    damaged[70_000 if len(whole) > 140_000 else 3000] ^= 0x10
    shard.write_bytes(damaged)
    prepared = open_pyramid(path)
    for index in range(9):
        prepared.image(index, 32)
    assert len(prepared.replaced) == 1
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        open_pyramid(path)
    shard.unlink()
    with pytest.raises(UserError, match=r"not a whole prepared pyramid|damaged"):
        open_pyramid(path)
    with pytest.raises(UserError, match="prepare_data"):
        open_pyramid(photos)


def test_portraits_are_prepared_from_the_command_line(tmp_path):
    run("--data.portraits-size", 4, "--dest", tmp_path / "p", "--resolution", 16)
    source = open_source(DataConfig(portraits_size=4))
    prepared = open_pyramid(tmp_path / "p")
    assert prepared.name == "portraits"
    np.testing.assert_array_equal(prepared.image(3, 16), source.image(3, 16))


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramid")
    photos = fill(folder / "photos", ["0/0.png", "1/1.png", "0/2.png"])
    write_pyramid(opened(photos, labels="folders"), folder / "made", resolution=16)
    return folder / "made"


def altered(pyramid, dest, change):
    """A copy of a pyramid with another index."""
    dest.mkdir()
    for file in pyramid.iterdir():
        (dest / file.name).write_bytes(file.read_bytes())
    index = json.loads((pyramid / "index.json").read_text()) | change
    (dest / "index.json").write_text(json.dumps(index))
    return DataConfig(name="pyramid", path=str(dest), labels="stored")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": {}}, "no images"),
        ({"levels": {"16": [{"file": "/dev/zero"}]}}, "no file '/dev/zero'"),
        ({"levels": {"16": [{"file": "../made/index.json"}]}}, "no file '../made"),
        ({"levels": {"16": ["x"]}}, "damaged"),
        ({"levels": {"9" * 30: []}}, "damaged"),
        ({"levels": {"16": []}}, "damaged"),
        ({"levels": [1]}, "damaged"),
        ({"num_images": 1 << 50}, "images"),
        ({"num_images": "3"}, "num_images is a text"),
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


def test_labels_that_are_no_list_are_damaged(pyramid, tmp_path):
    config = altered(pyramid, tmp_path / "a", {})
    np.save(tmp_path / "a" / "labels.npy", np.int64(1))
    with pytest.raises(UserError, match=r"labels \(\) of 3 images"):
        open_source(config)


def test_images_of_another_size_than_promised_are_explained(pyramid, tmp_path):
    levels = json.loads((pyramid / "index.json").read_text())["levels"]
    source = open_source(
        altered(pyramid, tmp_path / "a", {"levels": {"8": levels["16"]}})
    )
    with pytest.raises(UserError, match="768 bytes at 8 px, not 192"):
        source.image(0, 8)


def test_prepared_images_are_told_by_their_pixels(pyramid, tmp_path):
    found = set()
    for change in (0, 9):
        source = ArraySource(np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3) + change)
        write_pyramid(source, tmp_path / str(change), resolution=4)
        for channels in (1, 3):
            prepared = open_pyramid(tmp_path / str(change), num_channels=channels)
            assert prepared.image(0, 4).shape == (4, 4, channels)
            found.add(prepared.fingerprint([0], 4))
    prepared = open_pyramid(pyramid)
    found |= {prepared.fingerprint([0, 1], level) for level in (4, 8)}
    assert len(found) == 6
