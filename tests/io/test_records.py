"""Records and logs: damage of every kind is one error, or a skipped line."""

import codecs
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stylegan_jax.io import records
from stylegan_jax.io.records import DamagedRecordError

SHAPE = {"name": str, "count": int, "value": float, "more": {...: [float]}}
GOOD = {"name": "é", "count": 3, "value": 2, "more": {"a": [1.5, 2]}, "extra": None}


def read(path: Path, shape: Any = SHAPE) -> Any:
    return records.read(path, shape, way_on="delete it")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_text_of_any_unicode_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD, ensure_ascii=False), encoding=encoding)
    assert read(path) == GOOD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\0\0\0\0", "Expecting value"),
        (json.dumps(GOOD, ensure_ascii=False).encode("latin-1"), "not text in UTF-8"),
        (json.dumps(GOOD)[:-2].encode(), "line 1 column"),
        (b"[" * 100_000, "nested too deeply"),
        (
            json.dumps(GOOD).replace("null", "[" * 40 + "]" * 40).encode(),
            "nested too deeply",
        ),
        (b"[]", "it is a list"),
        (b"null", "it is null"),
        (json.dumps(GOOD | {"count": 2.5}).encode(), "count is a number"),
        (json.dumps(GOOD | {"count": True}).encode(), "count is true or false"),
        (json.dumps(GOOD | {"value": "2"}).encode(), "value is a text"),
        (json.dumps(GOOD | {"more": {"b": [None]}}).encode(), "entry of 'b' is null"),
        (b'{"name": "a"}', "it has no count"),
        (json.dumps(GOOD | {"value": float("nan")}).encode(), "the number NaN"),
        (json.dumps(GOOD).replace("1.5", "1e999").encode(), "the number 1e999"),
        (json.dumps(GOOD).replace("3", "9" * 30).encode(), "over 64 bits"),
        (json.dumps(GOOD).replace("3", "9" * 9999).encode(), "over 64 bits"),
        (b'{"name": "a", "name": "b"}', "there twice"),
        (json.dumps(GOOD | {"extra": "\ud800"}).encode(), "not Unicode"),
        (json.dumps(GOOD | {"extra": ["a\0b"]}).encode(), "a zero byte"),
        (json.dumps(GOOD | {"a\0b": 1}).encode(), "a zero byte"),
        (b" " * (records.MAX_BYTES + 1), "over 16 MB"),
    ],
    ids=range(23),
)
def test_a_damaged_record_names_itself_and_the_way_on(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DamagedRecordError, match=f"{message}.*; delete it") as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_json_of_other_programs_is_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        records.read_json(path)
    assert records.read_json(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_only_regular_files_inside_the_folder_are_opened(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (run / "own.json").write_text("{}")
    os.mkfifo(run / "fifo")
    for name, target, message in [
        ("inside", "own.json", None),
        ("outside", "../secret.json", "another place"),
        ("absolute", "/etc/passwd", "another place"),
        ("zero", "/dev/zero", "another place"),
        ("loop", "loop", "symbolic links"),
        ("folder", ".", "a folder"),
        ("fifo", None, "a device, pipe or socket"),
    ]:
        path = run / name
        if target is not None:
            path.symlink_to(target)
        if message is None:
            assert records.read(path, {}, way_on="", inside=run) == {}
            continue
        with pytest.raises(DamagedRecordError, match=message):
            records.read(path, {}, way_on="", inside=run)
    # Where links may lead anywhere, devices are still none.
    with pytest.raises(DamagedRecordError, match="a device"):
        records.read(run / "zero", {}, way_on="")
    # A folder that is linked as a whole is the user's own way of storing it.
    (tmp_path / "link").symlink_to(run)
    link = tmp_path / "link"
    assert records.read(link / "own.json", {}, way_on="", inside=link) == {}


LINES = [b'{"nimg": 1}\n', b'{"nimg": 2}\n', b'{"nimg": 3}\n', b'{"nimg": 4}\n']


@pytest.mark.parametrize(
    "damaged",
    [
        b"\n",
        b'{"nimg": 2\n',
        b'{"nimg": "2"}\n',
        b'{"n": 2}\n',
        b"\xff\xfe\n",
        b"\0" * 100 + b"\n",
        b"[" * 100_000 + b"\n",
        b'{"nimg": 1e999}\n',
        b'{"nimg": 2}{"nimg": 3}\n',
    ],
)
def test_damaged_lines_are_left_out_and_named_once(
    damaged: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join([LINES[0], damaged, LINES[2]]))
    for _ in range(2):
        found = records.read_log(path, {"nimg": int})
        assert list(found) == [{"nimg": 1}, {"nimg": 3}]
    assert caplog.messages == [f"{path}: damaged and left out: line 2"]


def test_many_damaged_lines_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES[0] + b"x\n" * 9)
    assert len(list(records.read_log(path, {}))) == 1
    lines = "2, 3, 4, 5, 6 and 4 more"
    assert caplog.messages == [f"{path}: damaged and left out: line {lines}"]


def test_a_log_saved_by_an_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + b"".join(LINES))
    assert [x["nimg"] for x in records.read_log(path, {})] == [1, 2, 3, 4]


def test_a_log_of_one_endless_line_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"[" * (3 << 20) + b"\n" + LINES[0])
    found = list(records.log_lines(path, {}))
    assert max(len(line.text) for line in found) <= 1 << 20
    assert found[-1].value == {"nimg": 1}


def test_no_log_is_empty_and_a_device_is_no_log(tmp_path: Path) -> None:
    assert list(records.read_log(tmp_path / "none", {})) == []
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DamagedRecordError, match=r"is no log .*move it away"):
        list(records.read_log(tmp_path / "fifo", {}))
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(DamagedRecordError, match="is no log"):
        list(records.read_log(tmp_path / "link", {}, inside=tmp_path))


def test_a_line_is_added_after_one_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    records.add_line(path, {"nimg": 1})
    path.write_bytes(path.read_bytes() + b'{"nim')
    records.add_line(path, {"nimg": 2})
    records.add_line(path, {"nimg": 3})
    assert [x["nimg"] for x in records.read_log(path, {})] == [1, 2, 3]


LIGHT = """
import resource, sys
from pathlib import Path
from stylegan_jax.io import records
path = Path(sys.argv[1])
try:
    if path.suffix == ".jsonl":
        print(sum(1 for _ in records.read_log(path, {"nimg": int})))
    else:
        records.read(path, {"model": {}}, way_on="")
except records.DamagedRecordError as error:
    print(error)
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0])  # kB, since this program began
print(int(resource.getrusage(resource.RUSAGE_SELF).ru_utime), peak >> 10)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"model":[' + b"[]," * 5_500_000 + b"1]}", "model is a list"),
        ("a.json", b'{"model":[' + b"{}," * 5_500_000 + b"1]}", "model is a list"),
        ("a.jsonl", b'{"nimg":1,"a":2.5}\n' * 500_000, "500000"),
        ("a.jsonl", b'{"nimg":1}\n' * 1_100_000, "over 1048576 lines"),
        ("a.jsonl", b"[" * 100_000_000, "0"),
    ],
    ids=["lists", "objects", "lines", "many lines", "one line"],
)
def test_the_largest_records_take_less_than_a_gigabyte_and_20_seconds(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    words = [sys.executable, "-c", LIGHT, str(tmp_path / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told, used = done.stdout.splitlines()
    assert message in told
    seconds, megabytes = map(int, used.split())
    assert seconds < 20 and megabytes < 1000
