"""Which files are images, how deep they are, and what their labels mean."""

import json
import logging
import zipfile

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.labels import from_folders, from_json
from stylegan_jax.data.pyramid_writer import write_pyramid
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import photos
from stylegan_jax.io import listing, outputs
from stylegan_jax.io.images import encode_png
from tests.io.picture_bombs import encoded


def picture(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return encode_png(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))


def open_folder(path, **options):
    return open_source(DataConfig(name="folder", path=str(path), **options))


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


IMAGES = ["a.png", "b.JPE", "c.jfif", "d.ppm", "e.pgm", "f.Tif", "sub/g.webp", "h"]
JUNK = ["._a.png", ".DS_Store", "Thumbs.db", "__MACOSX/a.png", "sub/.x/a.png"]


def test_training_and_inversion_find_the_same_images(tmp_path):
    kinds = {".jpe": "JPEG", ".jfif": "JPEG", ".ppm": "PPM", ".pgm": "PPM"}
    kinds |= {".tif": "TIFF", ".webp": "WEBP"}
    for name in IMAGES + JUNK:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(kinds.get(path.suffix.lower(), "PNG")))
    (tmp_path / "notes.txt").write_text("no image")
    source = open_folder(tmp_path)
    assert {skip.name for skip in source.skipped} == {*JUNK, "notes.txt"}
    expected = [tmp_path / name for name in sorted(IMAGES)]
    assert len(source) == len(expected)
    assert listing.list_images(tmp_path) == expected
    assert photos.listed([tmp_path]) == expected
    found, refused = photos.read(photos.listed([tmp_path]), 8, 3, aligned=False)
    assert len(found) == len(expected) and not refused


def test_inversion_names_a_broken_image_and_leaves_our_results_out(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(0))
    (tmp_path / "a_stages.png").write_bytes(picture(0))  # a photograph of this name
    outputs.write_png(tmp_path / "a_loss.png", np.zeros((8, 8, 3), np.uint8), "sheet")
    (tmp_path / "b.ppm").write_bytes(b"broken")
    files = photos.listed([tmp_path])
    assert [file.name for file in files] == ["a.png", "a_stages.png", "b.ppm"]
    _, refused = photos.read(files, 8, 3, aligned=False)
    assert [file.path.name for file in refused] == ["b.ppm"]


def write_deep(folder, values, dtype=np.uint16):
    folder.mkdir(exist_ok=True)
    for i, high in enumerate(values):
        ramp = np.linspace(0, high, 64).reshape(8, 8).astype(dtype)
        Image.fromarray(ramp).save(folder / f"{i}.tif")


def test_a_set_of_16_bit_files_is_read_by_what_all_of_them_use(tmp_path, caplog):
    write_deep(tmp_path, [300, 4092, 1000])
    source = open_folder(tmp_path, num_channels=1)
    (said,) = warnings(caplog)
    assert said.startswith("3 16-bit files of folder")
    assert "largest value 4092: read as 12 bits; `data.white` 65535 says oth" in said
    found = [source.image(i, 8).max() for i in range(3)]
    assert found == [round(high * 255 / 4095) for high in (300, 4092, 1000)]
    plain = open_folder(tmp_path, num_channels=1, white=65535)
    assert plain.image(1, 8).max() == round(4092 / 257)
    assert len(warnings(caplog)) == 1  # a white that is given is not looked for
    assert source.fingerprint(3, 8) != plain.fingerprint(3, 8)


def test_one_bright_file_makes_the_whole_set_16_bits(tmp_path, caplog):
    write_deep(tmp_path, [300, 60_000])
    source = open_folder(tmp_path, num_channels=1)
    assert [source.image(i, 8).max() for i in (0, 1)] == [1, round(60_000 / 257)]
    assert not warnings(caplog)


def test_32_bit_files_of_levels_and_floats_from_0_to_1_are_understood(tmp_path, caplog):
    write_deep(tmp_path / "integers", [255, 200], np.int32)
    source = open_folder(tmp_path / "integers", num_channels=1)
    assert [source.image(i, 8).max() for i in (0, 1)] == [255, 200]
    assert "2 32-bit files" in caplog.text and "read as 8 bits" in caplog.text
    write_deep(tmp_path / "floats", [1.0, 0.5], np.float32)
    source = open_folder(tmp_path / "floats", num_channels=1)
    assert [source.image(i, 8).max() for i in (0, 1)] == [255, 128]


def test_other_floats_are_refused_when_the_data_is_opened(tmp_path):
    write_deep(tmp_path, [1.0, 912.0], np.float32)
    with pytest.raises(UserError, match=r"'1.tif' .* floats up to 912.*white` 912"):
        open_folder(tmp_path)
    source = open_folder(tmp_path, white=912, num_channels=1)
    assert source.image(1, 8).max() == 255
    with pytest.raises(UserError, match=r"white 0.* is not a positive number"):
        open_folder(tmp_path, white=0.0)
    write_deep(tmp_path, [-1.0, -2.0], np.float32)
    with pytest.raises(UserError, match="values from -1 to 0"):
        open_folder(tmp_path)


FILES = ["00000/cat.png", "00000/dog.png"]


@pytest.mark.parametrize("case", ["backslash", "bom", "floats", "from1"])
def test_dataset_json_as_other_tools_write_it(shared_dir, case, caplog):
    text = (shared_dir / "cases" / "dataset_json" / case / "dataset.json").read_bytes()
    expected = [1, 2] if case == "from1" else [0, 1]
    labels = from_json(text, FILES)
    assert labels == expected and all(isinstance(label, int) for label in labels)
    assert [
        "class numbers up to 2, but no image of class 0" in said
        for said in warnings(caplog)
    ] == [True] * (case == "from1")


def table(*rows):
    return json.dumps({"labels": rows}).encode()


def test_contradictions_of_a_dataset_json_are_refused():
    twice = table(["00000/cat.png", 0], ["00000\\cat.png", 2])
    with pytest.raises(UserError, match=r"cat.png' two labels, 0 and 2"):
        from_json(twice, FILES)
    assert from_json(table(["00000/cat.png", 1], ["00000/cat.png", 1.0]), FILES)
    with pytest.raises(UserError, match="line 4, column"):
        from_json(b'{\n"labels": [\n["a.png", 1],\n]\n}', FILES)
    with pytest.raises(UserError, match="Extra data"):
        from_json(table(["00000/cat.png", 1]) + b"}", FILES)
    with pytest.raises(UserError, match=r"label 0\.5 is neither"):
        from_json(table(["00000/cat.png", 0.5]), FILES)


@pytest.mark.parametrize(
    "layout",
    [
        lambda i: f"{i // 1000:05d}/img{i:08d}.png",  # StyleGAN2-ADA
        lambda i: f"{i // 1000 * 1000:05d}/{i:05d}.png",  # FFHQ
    ],
)
def test_folders_that_only_count_are_no_classes(layout):
    files = [layout(i) for i in (0, 1, 999, 1000, 2500)]
    with pytest.raises(UserError, match=r"only count the images.*labels=json"):
        from_folders([f"data/{file}" for file in files])
    assert from_folders([*files, "00000/a.png"])[0] == "00000"
    classes = [f"{i % 3:05d}/{i:05d}.png" for i in range(9)]
    assert from_folders(classes)[:3] == ["00000", "00001", "00002"]


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_labels_that_are_not_asked_for_are_hinted_at(tmp_path, caplog, kind):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", picture(i))
        if kind == "json":
            archive.writestr("dataset.json", table(["0.png", 0], ["1.png", 1]))
        else:
            archive.writestr("labels.csv", "file,label\n0.png,a\n1.png,b\n")
    config = DataConfig(name="zip", path=str(path))
    assert open_source(config).label_size == 0
    (said,) = warnings(caplog)
    assert f"2 of 3 images in {'dataset.json' if kind == 'json' else 'labels.csv'}" in (
        said
    )
    assert f"`data.labels` {kind} uses them" in said


def test_mirroring_is_refused_where_labels_tell_left_from_right(tmp_path):
    pose = {"labels": "pose", "portraits_size": 4}
    with pytest.raises(UserError, match=r"left and right.*leave `data.mirror` off"):
        open_source(DataConfig(**pose, mirror=True))
    portraits = open_source(DataConfig(**pose))
    assert portraits.label_size == 2
    assert open_source(DataConfig(labels="smile", portraits_size=4, mirror=True))
    write_pyramid(portraits, tmp_path / "made", resolution=8)
    made = {"name": "pyramid", "path": str(tmp_path / "made")}
    with pytest.raises(UserError, match="mirror"):
        open_source(DataConfig(**made, labels="stored", mirror=True))
    assert open_source(DataConfig(**made, mirror=True))
    for i, name in enumerate(["left profile", "right profile", "front"]):
        path = tmp_path / "photos" / name / f"{i}.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(i))
    with pytest.raises(UserError, match="left profile and right profile"):
        open_folder(tmp_path / "photos", labels="folders", mirror=True)
