"""Which files of a folder or zip are images, for every command that takes many.

An image is what begins like one (`containers.kind_of`) or is called like one. Folders
are read with all that lies in them but runs of training and prepared data.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from stylegan_jax.io import outputs
from stylegan_jax.io.containers import kind_of

ENDINGS = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp"}
ENDINGS |= {".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
# Left behind by operating systems and cameras; hidden names are junk besides.
_JUNK = {
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "$recycle.bin",
}


def is_junk(file: str) -> bool:
    """Whether a file is left behind by an operating system, or hidden."""
    parts = PurePosixPath(file).parts
    return any(part.startswith(".") or part.lower() in _JUNK for part in parts)


def list_files(root: Path) -> list[str]:
    """Paths below `root`, relative, with forward slashes; links to folders followed."""
    files: list[str] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above or seen before
            folders.clear()
            continue
        seen.add(real)
        if outputs.is_run(Path(folder)):
            if folder != os.fspath(root):
                folders.clear()  # its samples are no photographs
                continue
            folders[:] = [name for name in folders if name not in outputs.RUN_PARTS]
        folders.sort()
        relative = Path(folder).relative_to(root)
        files += [(relative / name).as_posix() for name in names]
    return files


def list_images(root: Path) -> list[Path]:
    """The images below `root`, sorted by their paths."""
    return [root / file for file in _images(root, sorted(list_files(root)))]


def _images(root: Path, files: Iterable[str]) -> Iterable[str]:
    for file in files:
        if not is_junk(file) and (is_called_image(file) or _begins(root / file)):
            yield file


def is_called_image(file: str) -> bool:
    """Whether a name ends like an image's."""
    return PurePosixPath(file).suffix.lower() in ENDINGS


def _begins(path: Path) -> bool:
    if not path.is_file():  # opening a pipe would wait forever
        return False
    try:
        with path.open("rb") as file:
            return kind_of(file.read(16)) is not None
    except OSError:
        return False
