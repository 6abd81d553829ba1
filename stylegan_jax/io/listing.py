"""Images of a folder or zip, without junk, runs and results of this package.

An image is recognised by its first bytes (`containers.kind_of`) or its name.
"""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from stylegan_jax.errors import UserError
from stylegan_jax.io import containers, records

ENDINGS = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp"}
ENDINGS |= {".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
RUN_PARTS = ("checkpoints", "metrics.jsonl", "samples", "tensorboard")
# Left behind by operating systems and cameras; hidden names are junk besides.
_JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
_JUNK |= {"__macosx", "@eadir", "$recycle.bin"}
# After the signature and first chunk of a PNG; see `outputs.write_png`.
_MADE = re.compile(rb".{33}.{4}tEXtSoftware\0stylegan_jax (picture|sheet)", re.DOTALL)


def is_junk(file: str) -> bool:
    """Whether a file is hidden or left behind by an operating system."""
    parts = PurePosixPath(file).parts
    return any(part.startswith(".") or part.lower() in _JUNK for part in parts)


def is_called_image(file: str) -> bool:
    """Whether a name has the extension of an image."""
    return PurePosixPath(file).suffix.lower() in ENDINGS


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run of training, or made by `prepare_data`."""
    if (folder / "config.json").is_file():
        return any((folder / name).exists() for name in RUN_PARTS)
    return (folder / "index.json").is_file() and any(folder.glob("r*.array_record"))


def list_files(root: Path) -> list[str]:
    """Relative paths below `root`, with forward slashes; links to folders followed."""
    files: list[str] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above or seen before
            folders.clear()
            continue
        seen.add(real)
        if _is_run(Path(folder)):
            if folder != os.fspath(root):
                folders.clear()  # its samples are no photographs
                continue
            folders[:] = [name for name in folders if name not in RUN_PARTS]
        folders.sort()
        relative = Path(folder).relative_to(root)
        files += [(relative / name).as_posix() for name in names]
    return files


def list_images(root: Path) -> list[Path]:
    """The images below `root`, sorted by their paths."""
    paths = [root / file for file in sorted(list_files(root)) if not is_junk(file)]
    return [x for x in paths if is_called_image(x.name) or containers.kind_of(_head(x))]


def _head(path: Path) -> bytes:
    with contextlib.suppress(OSError, UserError), records.open_file(path) as file:
        return file.read(100)
    return b""


def made_by_us(stream: IO[bytes]) -> str | None:
    """The kind that `outputs.write_png` recorded, None in other files; rewinds."""
    head = stream.read(100)
    stream.seek(0)
    return _kind(head)


def _kind(head: bytes) -> str | None:
    match = _MADE.match(head)
    return match[1].decode() if match else None


def left_out(kinds: Mapping[str, str | None]) -> set[str]:
    """Names of images, with kinds of `made_by_us`, that are no photographs.

    All sheets, and pictures unless there are no images of others.
    """
    mixed = any(kind is None for kind in kinds.values())
    return {name for name, kind in kinds.items() if kind == "sheet" or (kind and mixed)}


def photographs(paths: Sequence[Path]) -> list[Path]:
    """The files of a folder without those of `left_out`."""
    ours = left_out({str(path): _kind(_head(path)) for path in paths})
    return [path for path in paths if str(path) not in ours]
