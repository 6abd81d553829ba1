"""A zip file of images as a source; also StyleGAN2-ADA's data sets.

Members are only read, never extracted, so their names cannot reach outside. Members
that are encrypted, or that swell beyond reason when unpacked, are skipped
(`io/archives.py`).
"""

import io
from pathlib import Path
from typing import IO

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.encoded import EncodedSource
from stylegan_jax.data.scan import assemble
from stylegan_jax.errors import UserError
from stylegan_jax.io import archives, images
from stylegan_jax.io.decoding import MAX_FILE_BYTES, UnreadableImageError

# Looking at a member's end means unpacking all of it; its header is at the start.
_HEAD_BYTES = 2**17


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
        archive = archives.open_zip(path)  # stays open as long as the source lives
    except archives.UNREADABLE as error:
        raise UserError(
            f"{str(path)!r} is not a whole zip file ({error}); copy or make it again"
        ) from error
    members = {
        info.filename: info
        for info in archive.infolist()
        if info.filename and not info.is_dir()
    }

    def open_file(file: str) -> tuple[IO[bytes], bool]:
        if members[file].file_size > _HEAD_BYTES:
            # Never a stream of the member: going back in one unpacks it anew, and the
            # header of a hostile image has thousands of places to go to.
            head = read(file, _HEAD_BYTES)
            try:
                images.inspect(io.BytesIO(head), check_end=False)
                return io.BytesIO(head), False
            except UnreadableImageError:
                pass  # perhaps all of it is needed
        return io.BytesIO(read(file)), True

    def read(file: str, count: int = -1) -> bytes:
        info = members[file]
        try:
            archives.check_member(info, max_bytes=MAX_FILE_BYTES)
            with archive.open(info) as stream:
                return stream.read(count)
        except archives.SuspiciousArchiveError as error:
            raise UnreadableImageError(str(error)) from error
        except archives.UNREADABLE as error:
            raise UnreadableImageError(f"damaged in the zip: {error}") from error

    return assemble(
        config,
        list(members),
        name=f"zip {str(path)!r}",
        open_file=open_file,
        read_file=read,
    )
