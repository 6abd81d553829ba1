"""Prepared data: each image at every resolution, in ArrayRecord files.

    index.json                 names, sizes and counts; see `pyramid_writer.py`
    labels.npy                 int64 [num_images] classes, or float32 [num_images, size]
    r0256-00000.array_record   raw uint8 [R, R, C] pixels, compressed without loss

One training phase reads one resolution only, and nothing is decoded but a fast
compression. The levels are those of the TFRecords of NVlabs/stylegan.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource

from stylegan_jax.common.errors import UserError
from stylegan_jax.common.images import convert_channels
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.labels import LabelTable
from stylegan_jax.data.scan import choose
from stylegan_jax.data.substitutes import Substitutes

FORMAT = "stylegan_jax pyramid 1"


class PyramidSource:
    """Random access to a prepared pyramid; a `Source`.

    Attributes:
        name: of the source that it was made from.
        num_channels: of the images returned.
        label_size: 0 = no labels.
        label_names: of the classes, () when there are none.
        resolutions: that are there, ascending.
    """

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
        """Wraps opened files; `chosen` are the images to use. See `open_pyramid`."""
        self.name, self.num_channels = name, num_channels
        self.label_size = labels.size if labels else 0
        self.label_names = labels.names if labels else ()
        self.resolutions = tuple(sorted(levels))
        self._levels, self._chosen, self._labels = levels, chosen, labels
        self._stored_channels = stored_channels
        self._substitutes = Substitutes(name, len(chosen))

    @property
    def replaced(self) -> Mapping[int, str]:
        """Images found to be damaged since opening: index -> reason."""
        return self._substitutes.reasons

    def __len__(self) -> int:
        """Number of images."""
        return len(self._chosen)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`.

        Raises:
            UserError: the resolution was not prepared, or most images are damaged.
        """
        if resolution not in self._levels:
            raise UserError(
                f"{self.name} was prepared for {self.resolutions[0]} to "
                f"{self.resolutions[-1]} px, not {resolution}; prepare it again with "
                f"--resolution {resolution}"
            )
        while True:
            actual = self._substitutes.actual(index)
            try:
                record = self._levels[resolution][int(self._chosen[actual])]
                break
            except RuntimeError as error:  # a checksum is wrong
                self._substitutes.add(actual, str(error))
        shape = (resolution, resolution, self._stored_channels)
        return convert_channels(
            np.frombuffer(record, np.uint8).reshape(shape), self.num_channels
        )

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`; ask for the image first."""
        if self._labels is None:
            return np.zeros(0, np.float32)
        return self._labels.vector(self._substitutes.actual(index))

    def fingerprint(self, count: int, resolution: int) -> str:
        """Says which the first images are, by the stored pixels; see `Source`."""
        found = hashlib.sha256(f"{len(self)} in {self.num_channels} channels".encode())
        for index in range(min(count, len(self))):
            found.update(self.image(index, resolution).tobytes())
        return found.hexdigest()


def open_pyramid(config: DataConfig) -> PyramidSource:
    """Opens the pyramid in the folder `config.path`.

    Raises:
        UserError: the folder holds none, files are missing or damaged, or labels are
            wanted that were not stored.
    """
    root = Path(config.path or "").expanduser()
    try:
        index = json.loads((root / "index.json").read_text())
        if index["format"] != FORMAT:
            raise ValueError(f"its format is {index['format']!r}")
        levels = {
            int(level): ArrayRecordDataSource([str(root / x["file"]) for x in files])
            for level, files in index["levels"].items()
        }
        labels = None
        if config.labels == "stored" and index["labels"]:
            stored = index["labels"]
            labels = LabelTable(
                values=np.load(root / stored["file"]),
                size=stored["size"],
                names=tuple(stored["names"]),
            )
        for level, records in levels.items():
            if len(records) != index["num_images"]:
                raise ValueError(f"level {level} has {len(records)} images")
    except FileNotFoundError as error:
        raise UserError(
            f"{str(root)!r} is not a whole prepared pyramid ({error}); make one with "
            f"python -m stylegan_jax.prepare_data"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
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
