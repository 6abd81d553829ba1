"""A folder of images, nested or not, as a source."""

import stat
from pathlib import Path
from typing import IO

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.encoded import EncodedSource
from stylegan_jax.data.scan import assemble
from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import MAX_FILE_BYTES, UnreadableImageError
from stylegan_jax.io.listing import list_files


def open_folder(config: DataConfig) -> EncodedSource:
    """Opens the folder `config.path`; see `DataConfig` for labels and crops.

    Raises:
        UserError: there is no such folder, or `assemble` refuses what is in it.
    """
    root = Path(config.path or "").expanduser()
    if not root.is_dir():
        hint = "; for a zip file use name=zip" if root.is_file() else ""
        raise UserError(f"there is no folder {str(root)!r}{hint}")

    def open_file(file: str) -> tuple[IO[bytes], bool]:
        path = root / file
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
            raise UnreadableImageError("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableImageError(f"{status.st_size} bytes are too many")
        return path.open("rb"), True

    def read_file(file: str) -> bytes:
        stream, _ = open_file(file)
        with stream:
            return stream.read()

    return assemble(
        config,
        list_files(root),
        name=f"folder {str(root)!r}",
        open_file=open_file,
        read_file=read_file,
    )
