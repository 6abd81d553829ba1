"""A zip file of images as a source; also StyleGAN2-ADA's data sets.

Members are only read, never extracted, so their names cannot reach outside. Members
that are encrypted, or that swell beyond reason when unpacked, are skipped.
"""

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from stylegan_jax.common.errors import UserError
from stylegan_jax.common.images import UnreadableImageError
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.encoded import EncodedSource
from stylegan_jax.data.scan import assemble

# Images are compressed already: a large member that shrank a hundredfold is a bomb.
_MAX_RATIO = 100
_MAX_RATIO_FREE_BYTES = 2**20
_MAX_BYTES = 2**29
# Looking at a member's end means unpacking all of it.
_CHECK_END_BYTES = 2**17

_UNREADABLE = (
    zipfile.BadZipFile,  # also a wrong checksum
    zlib.error,
    NotImplementedError,  # a compression method that Python does not know
    EOFError,
    RuntimeError,  # encrypted
)


def open_archive(config: DataConfig) -> EncodedSource:
    """Opens the zip file `config.path`; see `DataConfig` for labels and crops.

    Raises:
        UserError: there is no such file, it is not a whole zip file, or `assemble`
            refuses what is in it.
    """
    path = Path(config.path or "").expanduser()
    if path.is_dir():
        raise UserError(f"{str(path)!r} is a folder; use name=folder")
    if not path.exists():
        raise UserError(f"there is no zip file {str(path)!r}")
    try:
        archive = zipfile.ZipFile(path)  # stays open as long as the source lives
    except (*_UNREADABLE, OSError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} is not a whole zip file ({error}); copy or make it again"
        ) from error
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}

    def open_file(file: str) -> tuple[IO[bytes], bool]:
        info = members[file]
        _check(info)
        if info.file_size > _CHECK_END_BYTES:
            return _open(archive, info), False
        return io.BytesIO(read_file(file)), True

    def read_file(file: str) -> bytes:
        with _open(archive, members[file]) as stream:
            try:
                return stream.read()
            except _UNREADABLE as error:
                raise UnreadableImageError(f"damaged in the zip: {error}") from error

    return assemble(
        config,
        list(members),
        name=f"zip {str(path)!r}",
        open_file=open_file,
        read_file=read_file,
    )


def _check(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise UnreadableImageError("encrypted")
    allowed = max(info.compress_size * _MAX_RATIO, _MAX_RATIO_FREE_BYTES)
    if info.file_size > min(allowed, _MAX_BYTES):
        raise UnreadableImageError(
            f"unpacks from {info.compress_size} to {info.file_size} bytes"
        )


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(info)
    except _UNREADABLE as error:
        raise UnreadableImageError(f"damaged in the zip: {error}") from error
