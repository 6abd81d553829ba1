"""Prepared data: each image at every resolution, in ArrayRecord files.

    index.json                 names, sizes and counts; see `pyramid_writer.py`
    labels.npy                 int64 [num_images] classes, or float32 [num_images, size]
    r0256-00000.array_record   raw uint8 [R, R, C] pixels, compressed without loss

The levels are those of the TFRecords of NVlabs/stylegan.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.image_files import choose
from stylegan_jax.data.labels import MAX_CLASSES, LabelTable
from stylegan_jax.data.stored_images import StoredSource
from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files
from stylegan_jax.io.decoding import UnreadableImageError
from stylegan_jax.io.images import convert_channels
from stylegan_jax.io.records import read_json

FORMAT = "stylegan_jax pyramid 1"
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)


class PyramidSource(StoredSource):
    """Random access to a prepared pyramid; `resolutions` are ascending."""

    def __init__(
        self,
        levels: Mapping[int, ArrayRecordDataSource],
        chosen: np.ndarray,
        *,
        name: str,
        stored_channels: int,
        num_channels: int,
        labels: LabelTable | None,
    ) -> None:
        """Wraps opened files, of which images `chosen` are used; see `open_pyramid`."""
        super().__init__(name, len(chosen), num_channels=num_channels, labels=labels)
        self.resolutions = tuple(sorted(levels))
        self._levels, self._chosen = levels, chosen
        self._stored_channels = stored_channels

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of the stored pixels; see `Source`."""
        found = hashlib.sha256(f"{len(self)} in {self.num_channels} channels".encode())
        chosen = range(len(self))[:which] if isinstance(which, int) else which
        for index in chosen:
            found.update(self.image(int(index), resolution).tobytes())
        return found.hexdigest()

    def _load(self, index: int, resolution: int) -> np.ndarray:
        if resolution not in self._levels:
            raise UserError(
                f"{self.name} was prepared for {self.resolutions[0]} to "
                f"{self.resolutions[-1]} px, not {resolution}; prepare it again with "
                f"`resolution` {resolution}"
            )
        try:
            record = self._levels[resolution][int(self._chosen[index])]
        except RuntimeError as error:  # a checksum is wrong
            raise UnreadableImageError(str(error)) from error
        shape = (resolution, resolution, self._stored_channels)
        pixels = np.frombuffer(record, np.uint8)
        if pixels.size != np.prod(shape):
            raise UserError(
                f"an image of {self.name} has {pixels.size} bytes at {resolution} px, "
                f"not {np.prod(shape)}; prepare the data again"
            )
        return convert_channels(pixels.reshape(shape), self.num_channels)


def open_pyramid(config: DataConfig) -> PyramidSource:
    """Opens the pyramid in the folder `config.path`.

    Raises UserError for missing or damaged files or labels.
    """
    root = Path(config.path or "").expanduser()
    try:
        index = _checked(read_json(root / "index.json"))
        levels = {
            int(level): ArrayRecordDataSource([str(_inside(root, x)) for x in files])
            for level, files in index["levels"].items()
        }
        labels = None
        if config.labels == "stored" and index["labels"]:
            labels = _labels(root, index["labels"], index["num_images"])
        for level, records in levels.items():
            if len(records) != index["num_images"]:
                raise UserError(f"level {level} has {len(records)} images")
    except FileNotFoundError as error:
        raise UserError(
            f"{str(root)!r} is not a whole prepared pyramid ({error}); make one with "
            f"python -m stylegan_jax.prepare_data"
        ) from error
    except _DAMAGED as error:
        raise UserError(f"the pyramid in {str(root)!r} is damaged: {error}") from error
    if config.labels == "stored" and labels is None:
        raise UserError(f"the pyramid in {str(root)!r} was prepared without labels")
    chosen = choose(index["num_images"], config)
    return PyramidSource(
        levels,
        chosen,
        name=index["name"],
        stored_channels=index["num_channels"],
        num_channels=config.num_channels,
        labels=labels.take(chosen) if labels else None,
    )


def _checked(index: Any) -> dict[str, Any]:
    if index["format"] != FORMAT:
        raise UserError(f"its format is {index['format']!r}")
    if type(index["num_images"]) is not int or not index["levels"]:
        raise UserError("it has no images")
    if index["num_channels"] not in (1, 2, 3, 4) or type(index["name"]) is not str:
        raise UserError(f"it has {index['num_channels']} channels")
    for level in index["levels"]:
        if not 1 <= int(level) <= 1 << 14:
            raise UserError(f"it has images of {level} px")
    return index


def _inside(root: Path, entry: Any) -> Path:
    """A file of the folder itself: the index cannot name any other."""
    path = root / entry["file"]
    if path.parent != root or not path.is_file():
        raise FileNotFoundError(f"no file {entry['file']!r} in the folder")
    return path


def _labels(root: Path, stored: Any, count: int) -> LabelTable:
    values = array_files.read_npy(_inside(root, stored))
    size, names = stored["size"], tuple(map(str, stored["names"]))
    classes = values.ndim == 1 and values.dtype.kind in "iu"
    vectors = values.ndim == 2 and values.dtype.kind == "f"
    if type(size) is not int or len(values) != count:
        raise UserError(f"{len(values)} labels of {count} images")
    if classes and len(values):
        classes = values.min() >= 0 and values.max() < size <= MAX_CLASSES
    if not classes and not (vectors and values.shape[1] == size):
        raise UserError(f"labels {values.dtype} {values.shape} are not {size} classes")
    return LabelTable(values=values, size=size, names=names)
