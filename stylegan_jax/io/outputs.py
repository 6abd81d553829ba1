"""Result files of commands: never over an input, another result, or a user's file.

Only files that name this package, PNGs in a text chunk and others in their metadata,
are replaced; scans of photographs leave them out (`listing.py`).
"""

import dataclasses
import logging
import os
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.io.atomic import atomic_write

Kind = Literal["picture", "sheet"]  # one image, or several with captions, plots

_MARK = b"stylegan_jax"
_LOOKED_AT = 1 << 16  # bytes at either end of a file
_IHDR_END = 33  # in a PNG: its signature and first chunk
_log = logging.getLogger(__name__)


class Outputs:
    """The files that one call of a command writes into a folder."""

    def __init__(
        self, folder: Path, *, inputs: Iterable[Path] = (), fixed: Iterable[str] = ()
    ) -> None:
        """Makes nothing yet.

        `fixed` are names reserved for files that come last, such as `grid.png`.

        Raises UserError if the folder, `outdir`, is one of the inputs, or it or the
        folder it would be made in is a file or cannot be written to.
        """
        whole = folder.absolute()
        there = next(path for path in (whole, *whole.parents) if path.exists())
        if not there.is_dir():
            raise UserError(f"{there} is a file; `outdir` must be a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{there} cannot be written to; give another `outdir`")
        self.folder = folder
        self._inputs: list[Path] = []
        self._fixed, self._taken = {_key(name) for name in fixed}, set[str]()
        self.protect(inputs)

    def protect(self, inputs: Iterable[Path]) -> None:
        """Adds inputs; UserError for the folder itself."""
        for path in inputs:
            if path.is_dir() and self.folder.is_dir() and path.samefile(self.folder):
                raise UserError(
                    f"`outdir` {self.folder} is the folder of the inputs; give another"
                )
            self._inputs.append(path)

    def path(self, name: str) -> Path:
        """Path for `name`, different from all others of this call."""
        self._fixed.discard(_key(name))
        stem, dot, ending = name.rpartition(".")
        return self.folder / f"{self.stem(stem, (dot + ending,))}{dot}{ending}"

    def stem(self, stem: str, endings: Sequence[str]) -> str:
        """`stem`, with `_` appended while it makes a taken name with an ending."""
        free, reason = stem.replace("/", "_"), ""
        while found := next(
            filter(None, (self._problem(free + x) for x in endings)), ""
        ):
            free, reason = f"{free}_", reason or found
        self._taken.update(_key(free + ending) for ending in endings)
        if reason:
            place = self.folder / f"{free}{endings[0]}"
            _log.warning("%s: written as %s", reason, place)
        return free

    def write_png(self, name: str, image: np.ndarray, kind: Kind = "picture") -> Path:
        """Writes an image under a free name; returns its path."""
        path = self.path(name)
        write_png(path, image, kind)
        return path

    def _problem(self, name: str) -> str:
        path = self.folder / name
        if _key(name) in self._taken | self._fixed:
            return f"{name} is the name of another result"
        if not os.path.lexists(path):
            return ""
        if any(path.exists() and x.exists() and path.samefile(x) for x in self._inputs):
            return f"{path} is an input"
        return "" if is_ours(path) else f"{path} is no file of these commands"


def files_named_in(flags: Any) -> list[Path]:
    """The files that exist among the values of a dataclass of flags."""
    values = (getattr(flags, field.name) for field in dataclasses.fields(flags))
    words = [x for y in values for x in (y if isinstance(y, tuple) else (y,))]
    # `Path.is_file` raises for names that are too long, such as lists of seeds.
    named = [x for x in words if isinstance(x, str | Path) and os.path.isfile(x)]
    return [Path(x) for x in named]


def write_png(path: Path, image: np.ndarray, kind: Kind) -> None:
    """Writes a uint8 image with a text chunk that names this package."""
    png = images.encode_png(image)
    text = b"tEXtSoftware\0" + _MARK + b" " + kind.encode()
    chunk = struct.pack(">I", len(text) - 4) + text
    chunk += struct.pack(">I", zlib.crc32(text))
    atomic_write(path, png[:_IHDR_END] + chunk + png[_IHDR_END:])


def is_ours(path: Path) -> bool:
    """Whether a command wrote this file, by its first and last bytes."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(_LOOKED_AT)
        file.seek(max(0, path.stat().st_size - _LOOKED_AT))
        return _MARK in head or _MARK in file.read(_LOOKED_AT)


def _key(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()
