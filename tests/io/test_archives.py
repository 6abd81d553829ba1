"""Zip files whose directory promises more than the file has."""

import io
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.io import archives, array_files
from stylegan_jax.io.archives import SuspiciousArchiveError


def entry(name: bytes, offset: int, stored: int, size: int) -> bytes:
    """A line of the directory, for a deflated member."""
    numbers = (20, 20, 0, 8, 0, 0, 0, stored, size, len(name), 0, 0, 0, 0, 0, offset)
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *numbers) + name


def end(count: int, start: int, size: int, *, zip64: bool) -> bytes:
    if not zip64:
        count = min(count, 0xFFFF)
        return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, start, 0)
    record = struct.pack(
        *("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    tail = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, *(0xFFFF,) * 2, *(2**32 - 1,) * 2, 0
    )
    return record + locator + tail


def flood(path: Path, count: int, *, said: int, zip64: bool) -> None:
    """A zip of a single member that its directory has `count` times."""
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("0000000.npy", b"")
        start = file.tell()
        for i in range(count):
            file.write(entry(b"%07d.npy" % i, 0, 0, 0))
        size = file.tell() - start
        file.write(end(said, start, size, zip64=zip64))


@pytest.mark.parametrize(
    ("count", "said", "zip64"),
    [(20_000, said, zip64) for said in (1, 10**6) for zip64 in (False, True)]
    + [pytest.param(10**6, 1, True, marks=pytest.mark.thorough)],
)
def test_many_entries_are_refused_before_they_are_read(
    count: int, said: int, zip64: bool, tmp_path: Path
) -> None:
    flood(tmp_path / "a.zip", count, said=said, zip64=zip64)
    start = time.process_time()
    with pytest.raises(SuspiciousArchiveError, match=rf"{count} entries in \d+ bytes"):
        archives.open_zip(tmp_path / "a.zip")
    assert time.process_time() - start < 10


def test_a_second_end_record_hides_nothing(tmp_path: Path) -> None:
    """Whichever record zipfile goes by is the one that is looked at."""
    path = tmp_path / "a.zip"
    flood(path, 10_000, said=1, zip64=False)
    real = path.read_bytes()
    decoy = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
    # In the comment, which may hold anything: after the real record and before.
    commented = real[:-2] + struct.pack("<H", len(decoy)) + decoy
    inner = real[:-22] + decoy + real[-22:]
    for data in (commented, inner):
        path.write_bytes(data)
        try:
            archive = archives.open_zip(path)
        except archives.UNREADABLE:
            continue
        with archive:
            assert len(archive.infolist()) <= 1000


def shared(count: int) -> bytes:
    """An .npz whose members are one stream of a megabyte of zeros, `count` times."""
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.arange(1 << 17))
    data = stream.getvalue()
    with zipfile.ZipFile(stream) as archive:
        (info,) = archive.infolist()
        start = archive.start_dir
    directory = b"".join(
        entry(b"%05d.npy" % i, 0, info.compress_size, info.file_size)
        for i in range(count)
    )
    tail = end(count, start, len(directory), zip64=False)
    return data[:start] + directory + tail


@pytest.mark.parametrize("count", [2, 900])
def test_members_that_share_their_bytes_are_refused(count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(shared(count))
    with pytest.raises(SuspiciousArchiveError, match="share their bytes"):
        archives.open_zip(path)
    with pytest.raises(UserError, match="share their bytes"):
        array_files.read_npz(path)


def test_honest_archives_of_many_small_members_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(5000):  # as small as pictures of digits
            archive.writestr(f"{i:05d}.png", bytes(200))
    with archives.open_zip(path) as archive:
        assert len(archive.infolist()) == 5000
