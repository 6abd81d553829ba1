"""Safe reader of PyTorch files (`.pth`, `.pt`, `.model`) without PyTorch.

Since PyTorch 1.6 a file is an uncompressed zip archive: the pickle `NAME/data.pkl` and
a member `NAME/data/KEY` per storage. Before, it was a row of pickles (a magic number,
the version, the system, the value, the keys of the storages), then the storages.
Storages stay memory-mapped until a tensor is converted.

Source: `torch/serialization.py` of PyTorch.
"""

import mmap
import os
import struct
import zipfile
import zlib
from typing import IO

from stylegan_jax.errors import UserError
from stylegan_jax.io import archives
from stylegan_jax.pickles import pickle_machine, torch_pickle
from stylegan_jax.pickles.pickle_machine import require, shown
from stylegan_jax.pickles.torch_pickle import Storage

MAX_FILE_BYTES = 1 << 33  # networks and optimisers at 1024 px have 1 GB
MAX_PICKLE_BYTES = 1 << 26
MAX_MEMBERS = 100_000

ZIP_MAGIC = b"PK\x03\x04"
# Pickles of the magic number and the version of the layout.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."


def is_pytorch_file(path: str | os.PathLike[str]) -> bool:
    """Whether the first kilobyte is that of a `torch.save` file."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    # The pickle is the first member of the archive.
    zipped = head.startswith(ZIP_MAGIC) and b"/data.pkl" in head
    return zipped or head.startswith(LEGACY_MAGIC)


def read(path: str | os.PathLike[str]) -> object:
    """Value that `torch.save` wrote, possibly cyclic.

    Plain values, lists, tuples, dictionaries with keys of text or whole numbers, and
    `torch_pickle.Tensor`. Raises as `unpickle.read_networks`; messages do not name the
    file.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise UserError("the file is empty")
        if size > MAX_FILE_BYTES:
            raise UserError(f"{size} bytes, more than the {MAX_FILE_BYTES} allowed")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            if data[:4] == ZIP_MAGIC:
                return _read_zip(file, data)
            return _read_legacy(data)
        except UserError:
            raise
        except zipfile.BadZipFile:
            raise UserError(
                "an archive that is cut short or damaged; fetch it again"
            ) from None
        except Exception as error:  # damaged bytes surface as almost any exception
            detail = shown(f"{type(error).__name__}: {error}")
            raise UserError(
                f"damaged, or not a PyTorch file ({detail}); fetch it again"
            ) from error


def _read_zip(file: IO[bytes], data: mmap.mmap) -> object:
    try:
        archives.check_directory(file, len(data))
    except archives.SuspiciousArchiveError as error:
        raise UserError(f"an archive with {error}") from None
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        _check_members(archive.infolist(), len(data))
    roots = [
        name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")
    ]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise UserError("a zip archive, but not one of torch.save")
    root = roots[0]
    if any(name.startswith(f"{root}code/") for name in members):
        raise UserError(
            "a TorchScript archive, which is a program; save the state_dict() instead"
        )
    order = members.get(f"{root}byteorder")
    big_endian = order is not None and bytes(_member(data, order)) == b"big"
    storages: dict[str, Storage] = {}

    def find(key: str, code: str, count: int) -> Storage:
        if key not in storages:
            info = members.get(f"{root}data/{key}")
            if info is None:
                raise UserError(f"no data of the storage {shown(key)}")
            found = Storage(code, count, _member(data, info), info.CRC, big_endian)
            if info.file_size != found.num_bytes:
                raise UserError(
                    f"the storage {shown(key)} has {info.file_size} bytes, not the "
                    f"{found.num_bytes} it should have"
                )
            storages[key] = found
        return _same(storages[key], code, count)

    info = members[f"{root}data.pkl"]
    require(info.file_size <= MAX_PICKLE_BYTES, "a pickle that is too large")
    pickle = bytes(_member(data, info))
    if zlib.crc32(pickle) != info.CRC:
        raise UserError("the file is damaged; fetch it again")
    return pickle_machine.run(pickle, torch_pickle.dialect(find), budget=2 * len(data))


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Members must be stored uncompressed, of the sizes declared."""
    require(len(members) <= MAX_MEMBERS, "an archive of too many members")
    names = {info.filename for info in members}
    require(len(names) == len(members), "an archive with a member twice")
    total = 0
    for info in members:
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        require(
            stored and info.file_size == info.compress_size,
            f"the member {shown(info.filename)} is compressed or encrypted, which "
            "PyTorch's are not",
        )
        total += info.file_size
    require(total <= size, "members larger than the archive")


def _member(data: mmap.mmap, info: zipfile.ZipInfo) -> memoryview:
    header = data[info.header_offset : info.header_offset + 30]
    require(header[:4] == ZIP_MAGIC and len(header) == 30, "a member without a header")
    start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
    require(start + info.file_size <= len(data), "a member beyond the archive's end")
    return memoryview(data)[start : start + info.file_size]


def _read_legacy(data: mmap.mmap) -> object:
    require(data[: len(LEGACY_MAGIC)] == LEGACY_MAGIC, "not a file of torch.save")
    data.seek(len(LEGACY_MAGIC))
    storages: dict[str, Storage] = {}

    def find(key: str, code: str, count: int) -> Storage:
        return _same(storages.setdefault(key, Storage(code, count)), code, count)

    dialect = torch_pickle.dialect(find)

    def pickle() -> object:
        return pickle_machine.run(data, dialect, budget=2 * len(data))  # pyright: ignore[reportArgumentType]

    system, value, keys = pickle(), pickle(), pickle()
    little = isinstance(system, dict) and system.get("little_endian") is True
    require(isinstance(keys, list), "a file without the keys of its storages")
    assert isinstance(keys, list)
    at = data.tell()
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.data is not None:
            raise UserError("a storage that is not used, or twice")
        (count,) = struct.unpack_from("<q" if little else ">q", data, at)
        end = at + 8 + storage.num_bytes
        require(count == storage.count, "a storage of another size than declared")
        require(end <= len(data), "a storage beyond the end of the file")
        storage.data = memoryview(data)[at + 8 : end]
        storage.big_endian = not little
        at = end
    require(all(s.data is not None for s in storages.values()), "missing storages")
    return value


def _same(storage: Storage, code: str, count: int) -> Storage:
    require((storage.code, storage.count) == (code, count), "a storage of two types")
    return storage
