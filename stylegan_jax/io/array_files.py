"""Untrusted .npy, .npz and .safetensors files: memory bounded, nothing unpickled.

Sizes in headers are compared with the file before allocation; a compressed .npz may
take a hundred times its size. Errors: UserError that does not name the file, or OSError
on opening.

Source of the formats: `numpy.lib.format`; https://github.com/huggingface/safetensors.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import safetensors

from stylegan_jax.errors import UserError, in_a_line
from stylegan_jax.io import archives, records

MAX_BYTES = 1 << 34  # of all arrays of a file
_MAX_HEADER_BYTES = 1 << 24  # of a .safetensors; a network of 1024 px has 31 kB
_KINDS = "biufcSU"  # of numbers and of text; no objects and no records


def read_npy(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Reads one array."""
    with records.open_file(path) as file:
        return _array(file, os.fstat(file.fileno()).st_size, max_bytes)


def read_npz(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Reads all arrays of an archive, by name."""
    found: dict[str, np.ndarray] = {}
    try:
        with archives.open_zip(path) as archive:
            for info in archive.infolist():
                archives.check_member(info, max_bytes=max_bytes)
                max_bytes -= info.file_size
                name = info.filename.removesuffix(".npy")
                if name in found or name == info.filename:
                    raise UserError(
                        f"a member {ascii(info.filename)[:60]}, twice or no array"
                    )
                with archive.open(info) as stream:
                    found[name] = _array(stream, info.file_size, info.file_size)
    except UserError:
        raise
    except archives.UNREADABLE as error:
        raise UserError(in_a_line(error)) from error
    return found


def _array(stream: IO[bytes], size: int, max_bytes: int) -> np.ndarray:
    if size > max_bytes:
        raise UserError(f"{size} bytes, more than {max_bytes}")
    try:
        major, minor = np.lib.format.read_magic(stream)
        read_header = getattr(np.lib.format, f"read_array_header_{major}_{minor}")
        shape, fortran, dtype = read_header(stream)
    except Exception as error:  # the header is a Python literal: almost any error
        raise UserError(f"no NumPy array ({in_a_line(error)})") from error
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise UserError(f"an array of {dtype}, which is no plain number")
    if len(shape) > 32 or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
        raise UserError("an array of an odd shape")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > size:
        raise UserError(
            f"an array of shape {shape} takes {wanted} bytes, and there are {size}"
        )
    data = bytearray(wanted)
    # The checksum of an archive is verified at its end only.
    if stream.readinto(data) != wanted or stream.read(1):  # type: ignore[attr-defined]
        raise UserError("cut off, or with bytes left over")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def read_safetensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads all arrays, by name, and the metadata."""
    with _safetensors(path) as file:
        # Copied: what the library returns may be a view of the mapped file.
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        return arrays, file.metadata() or {}


def read_safetensors_header(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata, {} if there is none."""
    with _safetensors(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _safetensors(path: str | os.PathLike[str]) -> Iterator[Any]:
    with records.open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _MAX_HEADER_BYTES:
        raise UserError(f"no .safetensors, or a header of {length} bytes")
    try:
        with safetensors.safe_open(os.fspath(path), framework="numpy") as opened:
            yield opened
    except Exception as error:  # the library has an error of its own, and others pass
        raise UserError(in_a_line(error)) from error
