"""Files of arrays that claim more than they hold, and other hostile ones."""

import io
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files

HUGE = 1 << 45


def npy(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def claiming(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    """A header of a huge array and eight bytes of it."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + b"\0" * 8


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.array(7, np.int64),
        np.zeros((0, 512), np.float16),
        np.array(["smile", "age"]),
        np.array([True, False]),
    ],
)
def test_what_numpy_writes_is_read_as_numpy_reads_it(array, tmp_path):
    (tmp_path / "a.npy").write_bytes(npy(array))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", one=array, two=array[..., :1] if array.ndim else array)
        found = array_files.read_npz(tmp_path / "a.npz")
        assert found.keys() == {"one", "two"}
        with np.load(tmp_path / "a.npz") as expected:
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value)
                assert found[name].dtype == value.dtype
    read = array_files.read_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (claiming((HUGE,)), "and there are"),
        (claiming((1 << 40, 1 << 40, 1 << 40)), "and there are"),
        (claiming((-1,)), "odd shape"),
        (claiming((1,), "|O"), "no plain number"),
        (npy(np.zeros(1, [("a", "i4")])), "no plain number"),
        (npy(np.array([{}], object), allow_pickle=True), "no plain number"),
        (npy(np.zeros(9))[:-1], "there are|cut off"),
        (npy(np.zeros(9)) + b"x", "left over"),
        (b"\x93NUMPY\7\0" + b"\0" * 40, "no NumPy array"),
        (b"words", "no NumPy array"),
        (b"", "no NumPy array"),
    ],
)
def test_hostile_arrays_are_refused_before_room_is_made(content, message, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            array_files.read_npy(path)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", content)
        with pytest.raises(UserError, match=message):
            array_files.read_npz(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_an_npz_that_swells_is_refused_and_members_are_counted_together(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(1 << 20))
    assert path.stat().st_size < 1 << 14
    with pytest.raises(UserError, match=r"unpacks from \d+ to 83"):
        array_files.read_npz(path)
    np.savez(path, **{f"a{i}": np.zeros(1000) for i in range(10)})
    with pytest.raises(UserError, match="unpacks"):
        array_files.read_npz(path, max_bytes=50_000)


def directory_of(size: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 9, 9, size, 0, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (directory_of(0x7FFFFFFF), "directory of 2147483647 bytes"),
        (b"PK\3\4" + b"\0" * 60, "not a zip file"),
        (b"", "not a zip file"),
    ],
)
def test_what_is_no_archive_is_refused(content, message, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        array_files.read_npz(path)


def test_other_members_and_damage_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run.py", b"print(1)")
    with pytest.raises(UserError, match="no array"):
        array_files.read_npz(path)
    np.savez(path, a=np.arange(100.0))
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"CRC|magic"):
        array_files.read_npz(path)


def test_safetensors_are_read_with_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(safetensors.numpy.save({"a": array}, {"kind": "b"}))
    arrays, texts = array_files.read_safetensors(path)
    np.testing.assert_array_equal(arrays["a"], array)
    assert texts == {"kind": "b"}


def claiming_safetensors() -> bytes:
    record = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
    header = json.dumps({"a": record}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 8


@pytest.mark.parametrize(
    "content",
    [struct.pack("<Q", size) + b"{}" for size in (HUGE, 1 << 63, 0, 3)]
    + [claiming_safetensors()],
)
def test_hostile_safetensors_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError):
        array_files.read_safetensors(path)
