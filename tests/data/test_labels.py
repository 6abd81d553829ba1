"""Class labels of folders and zip files: from folders, json and csv tables."""

import json
import logging
import random
import time

import numpy as np
import pytest

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.labels import from_folders, from_json
from stylegan_jax.data.pyramid_writer import write_pyramid
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError
from tests.data.files import fill, labels_of, make_zip, opened, picture, pictures


def table(*rows) -> bytes:
    return json.dumps({"labels": rows}).encode()


def deep(label):
    return table(["0.png", label], ["1.png", 1])


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_classes_come_from_the_first_folders_that_differ(tmp_path):
    names = ["top/cat/x/1.png", "top/cat/2.png", "top/dog/3.png", "top/stray.png"]
    source = opened(fill(tmp_path, names), labels="folders")
    assert source.label_names == ("cat", "dog")
    assert labels_of(source) == [[1, 0], [1, 0], [0, 1]]
    assert source.skipped == {"top/stray.png": "no label"}


def test_numeric_classes_are_in_numeric_order(tmp_path):
    fill(tmp_path, [f"{i}/a.png" for i in (2, 10, 1)])
    source = opened(tmp_path, labels="folders")
    assert source.label_names == ("1", "2", "10")
    # Sorted by path: 1/, 10/, 2/.
    assert np.argmax(labels_of(source), axis=1).tolist() == [0, 2, 1]


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
    assert from_folders([*files, "00000/a.png"])[files[0]] == "00000"
    classes = [f"{i % 3:05d}/{i:05d}.png" for i in range(9)]
    assert [*from_folders(classes).values()][:3] == ["00000", "00001", "00002"]


def test_a_csv_table_is_matched_by_path_name_or_stem(tmp_path):
    fill(tmp_path, ["a/1.png", "a/2.png", "b/1.png", "b/3.png", "b/4.png"])
    (tmp_path / "labels.csv").write_text(
        "\ufeffImage ID;Sender;Label\n"
        "a/1.png;x; red \nb/1;x;blue\n2.png;x;red\n3;x;blue\n4;x;\nlost.png;x;green\n",
        encoding="utf-8",
    )
    source = opened(tmp_path, labels="csv")
    assert source.label_names == ("blue", "red")  # green has no image
    # a/1, a/2, b/1, b/3
    assert np.argmax(labels_of(source), axis=1).tolist() == [1, 1, 0, 0]
    assert source.skipped == {"b/4.png": "no label"}


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("cp1252"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
        lambda text: text.replace("ö", "o\u0308").encode(),
    ],
)
def test_a_csv_table_as_spreadsheets_and_other_systems_write_it(tmp_path, encode):
    fill(tmp_path, ["ö.png", "b.png", "c.png"])
    text = "file,label\nö.png,10.0\nb.png,2.0\nc.png,2.0\nc.png,2\n"
    (tmp_path / "labels.csv").write_bytes(encode(text))
    source = opened(tmp_path, labels="csv")
    assert source.label_names == ("2", "10")
    assert np.argmax(labels_of(source), axis=1).tolist() == [0, 0, 1]  # b, c, ö


def test_a_csv_table_with_two_labels_of_a_file_is_refused(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    text = "file,label\na.png,x\nb.png,y\n./a.png,y\n"
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match="png' two labels, x and y"):
        opened(tmp_path, labels="csv")


def test_a_csv_name_that_fits_two_files_is_not_guessed(tmp_path):
    fill(tmp_path, ["a/1.png", "b/1.png", "c.png", "d.png"])
    (tmp_path / "t.csv").write_text("1.png,x\nc.png,y\nd.png,x\n")  # no headings
    assert len(opened(tmp_path, labels="t.csv")) == 2


def test_a_class_whose_name_is_a_very_long_number_is_a_name(tmp_path):
    text = "file,label\n0.png," + "9" * 5000 + "\n1.png,2\n"
    path = make_zip(tmp_path / "a.zip", pictures(2) | {"labels.csv": text})
    assert labels_of(opened(path, labels="csv")) == [[0, 1], [1, 0]]  # numbers first


@pytest.mark.parametrize("inside", ["", "my data/"])
def test_the_zip_of_stylegan2_ada_gives_its_class_numbers(tmp_path, inside):
    names = [f"00000/img{i:08d}.png" for i in range(4)]
    numbers = [3, 0, 1, 3]
    files = dict(
        zip([inside + name for name in names], pictures(4).values(), strict=True)
    )
    files[inside + "dataset.json"] = table(*zip(names, numbers, strict=True))
    source = opened(make_zip(tmp_path / "ada.zip", files), labels="json")
    assert source.label_size == 4  # the largest number and one, as ADA counts
    assert source.label(0).dtype == np.float32
    np.testing.assert_array_equal(labels_of(source), np.eye(4)[numbers])
    np.testing.assert_array_equal(source.image(2, 16), picture(2))


def test_vector_labels_are_kept_as_they_are(tmp_path):
    vectors = [[0.5, -1.0, 2.0], [0.0, 0.0, 0.25]]
    rows = table(["0.png", vectors[0]], ["1.png", vectors[1]])
    path = make_zip(tmp_path / "a.zip", pictures(2) | {"dataset.json": rows})
    assert labels_of(opened(path, labels="json")) == vectors


@pytest.mark.parametrize("case", ["backslash", "bom", "floats", "from1"])
def test_dataset_json_as_other_tools_write_it(shared_dir, case, caplog):
    text = (shared_dir / "cases" / "dataset_json" / case / "dataset.json").read_bytes()
    labels = [*from_json(text).values()]
    assert labels == ([1, 2] if case == "from1" else [0, 1])
    assert all(isinstance(label, int) for label in labels)
    gap = "class numbers up to 2, but no image of class 0"
    assert [gap in said for said in warnings(caplog)] == [True] * (case == "from1")


def test_a_label_given_twice_as_the_same_number_is_one():
    twice = table(["00000/cat.png", 1], ["00000/cat.png", 1.0])
    assert from_json(twice) == {"00000/cat.png": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"labels": null}', "no labels; use labels=none"),
        (b"[1, 2", "is not"),
        (b'{\n"labels": [\n["a.png", 1],\n]\n}', "line 4 column"),
        (deep(1) + b"}", "Extra data"),
        (deep(None), "is not"),
        (deep({}), "neither a class nor a vector"),
        (deep(0.5), r"label 0\.5 is neither"),
        (table(["x.png", 1]), "no row of dataset.json .* 'x.png'"),
        (table(["0.png", 0], ["./0.png", 2]), "0.png' two labels, 0 and 2"),
        (table(["0.png", [1]], ["1.png", [1, 2]]), "differ in length"),
        (table(["0.png", [float("nan")]], ["1.png", [1]]), "not finite"),
        (deep(3000000), "to 3000000 are not"),
        (deep("a"), "all numbers"),
        (deep(-1), "from -1 to 1 are not"),
        (b'{"labels": ' + b"[" * 100_000, "RecursionError"),
        (deep([10**400]), "OverflowError"),
        (deep(10**30), "class numbers from 1 to 10{30}"),
        (b" " * (3 << 20), "unpacks from"),
    ],
)
def test_an_unusable_dataset_json_is_explained(tmp_path, content, message):
    path = make_zip(tmp_path / "a.zip", pictures(2) | {"dataset.json": content})
    with pytest.raises(UserError, match=message):
        opened(path, labels="json")
    assert len(opened(path)) == 2  # without labels it does not matter


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("folders", "two sub-folders"),
        ("json", "has no dataset.json"),
        ("other.csv", "has no other.csv"),
        ("csv", "no row of labels.csv names one of the 3 images"),
        ("wide.csv", "columns a, b, c; name"),
        ("empty.csv", "empty.csv is empty"),
    ],
)
def test_labels_that_are_not_there_are_explained(tmp_path, labels, message):
    tables = {"labels.csv": "file,label\nx.png,a\n", "empty.csv": ""}
    fill(tmp_path, pictures(3) | tables | {"wide.csv": "a,b,c\n1.png,2,3\n"})
    with pytest.raises(UserError, match=message):
        opened(tmp_path, labels=labels)


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("json", "dataset.json", table(["0.png", 0], ["1.png", 1])),
        ("csv", "labels.csv", b"file,label\n0.png,a\n1.png,b\n"),
    ],
)
def test_labels_that_are_not_asked_for_are_hinted_at(
    tmp_path, caplog, kind, name, content
):
    path = make_zip(tmp_path / "a.zip", pictures(3) | {name: content})
    assert opened(path).label_size == 0
    (said,) = warnings(caplog)
    assert f"has labels in {name}" in said
    assert f"`data.labels` {kind} uses them" in said


def test_mirroring_is_refused_where_labels_tell_left_from_right(tmp_path):
    pose = {"labels": "pose", "portraits_size": 4}
    with pytest.raises(UserError, match=r"left and right.*leave `data.mirror` off"):
        open_source(DataConfig(**pose, mirror=True))
    portraits = open_source(DataConfig(**pose))
    assert portraits.label_size == 2
    assert open_source(DataConfig(labels="smile", portraits_size=4, mirror=True))
    write_pyramid(portraits, tmp_path / "made", resolution=8)
    made = {"name": "pyramid", "path": str(tmp_path / "made"), "mirror": True}
    with pytest.raises(UserError, match="mirror"):
        open_source(DataConfig(**made, labels="stored"))
    assert open_source(DataConfig(**made))
    names = ["left profile/0.png", "right profile/1.png", "front/2.png"]
    with pytest.raises(UserError, match="left profile and right profile"):
        opened(fill(tmp_path / "photos", names), labels="folders", mirror=True)


def test_six_thousand_real_photographs_open_within_seconds(shared_dir):
    start = time.perf_counter()
    source = opened(shared_dir / "data" / "clothing128", labels="csv")
    assert time.perf_counter() - start < 10  # 1.5 s on two idle cores
    assert (len(source), source.label_size) == (5398, 20)
    chosen = random.Random(0).sample(range(len(source)), 50)
    assert sum(source.label(index).sum() for index in chosen) == 50
    assert "T-Shirt" in source.label_names
