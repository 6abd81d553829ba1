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
from stylegan_jax.data.labels import MAX_CLASSES, LabelTable
from stylegan_jax.data.sources import choose
from stylegan_jax.data.stored_images import StoredSource
from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, records
from stylegan_jax.io.decoding import UnreadableImageError
from stylegan_jax.io.images import convert_channels

FORMAT = "stylegan_jax pyramid 1"
_INDEX = {"format": str, "name": str, "num_images": int, "num_channels": int}
_INDEX |= {"levels": {...: [{"file": str}]}, "labels": object}
_LABELS = {"file": str, "size": int, "names": [str]}


class PyramidSource(StoredSource):
    """Random access to a prepared pyramid; `resolutions` are ascending."""

    def __init__(
        self,
        index: Mapping[str, Any],
        levels: Mapping[int, ArrayRecordDataSource],
        labels: LabelTable | None,
        config: DataConfig,
    ) -> None:
        """Wraps opened files; see `open_pyramid`."""
        chosen = choose(index["num_images"], config)
        labels = labels and labels.take(chosen)
        super().__init__(index["name"], len(chosen), config.num_channels, labels)
        self.resolutions = tuple(sorted(levels))
        self.side = self.resolutions[-1]
        self._levels, self._chosen = levels, chosen
        self._stored_channels = index["num_channels"]

    def fingerprint(self, indices: Sequence[int], resolution: int) -> str:
        """Digest of the stored pixels; see `Source`."""
        found = hashlib.sha256(f"{len(self)} in {self.num_channels} channels".encode())
        for index in indices:
            found.update(self.image(int(index), resolution).tobytes())
        return found.hexdigest()

    def _load(self, index: int, resolution: int) -> np.ndarray:
        if resolution not in self._levels:
            raise UserError(
                f"{self.name} was prepared for {self.resolutions[0]} to {self.side} "
                f"px, not {resolution}; prepare it again with `resolution` {resolution}"
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
        index = records.read_json(root / "index.json")
        records.check(index, _INDEX)
        if index["format"] != FORMAT or not index["levels"]:
            raise UserError(f"its format is {index['format']!r}, or it has no images")
        if index["num_channels"] not in (1, 2, 3, 4):
            raise UserError(f"it has {index['num_channels']} channels")
        levels = {}
        for level, files in index["levels"].items():
            if not 1 <= int(level) <= 1 << 14:
                raise UserError(f"it has images of {level} px")
            paths = [str(_inside(root, entry["file"])) for entry in files]
            levels[int(level)] = ArrayRecordDataSource(paths)
            if len(levels[int(level)]) != index["num_images"]:
                raise UserError(f"level {level} has {len(levels[int(level)])} images")
        labels = None
        if config.labels == "stored" and index["labels"]:
            labels = _labels(root, index["labels"], index["num_images"])
    except FileNotFoundError as error:
        raise UserError(
            f"{str(root)!r} is not a whole prepared pyramid ({error}); make one with "
            f"python -m stylegan_jax.prepare_data"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"the pyramid in {str(root)!r} is damaged: {error}") from error
    if config.labels == "stored" and labels is None:
        raise UserError(f"the pyramid in {str(root)!r} was prepared without labels")
    return PyramidSource(index, levels, labels, config)


def _inside(root: Path, file: str) -> Path:
    """A file of the folder itself: the index cannot name any other."""
    path = root / file
    if path.parent != root or not path.is_file():
        raise FileNotFoundError(f"no file {file!r} in the folder")
    return path


def _labels(root: Path, stored: Any, count: int) -> LabelTable:
    records.check(stored, _LABELS, "labels")
    values = array_files.read_npy(_inside(root, stored["file"]))
    size, names = stored["size"], tuple(stored["names"])
    classes = values.ndim == 1 and values.dtype.kind in "iu"
    vectors = values.ndim == 2 and values.dtype.kind == "f"
    if values.shape[:1] != (count,):
        raise UserError(f"labels {values.shape} of {count} images")
    if classes and count:
        classes = values.min() >= 0 and values.max() < size <= MAX_CLASSES
    if not classes and not (vectors and values.shape[1] == size):
        raise UserError(f"labels {values.dtype} {values.shape} are not {size} classes")
    return LabelTable(values=values, size=size, names=names)
