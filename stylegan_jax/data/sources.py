"""What a source of training images is, and opening the one that is configured."""

from typing import Protocol

import numpy as np

from stylegan_jax.common.errors import UserError
from stylegan_jax.common.images import convert_channels
from stylegan_jax.data.config import POINTS, DataConfig


class Source(Protocol):
    """Random access to square images at any resolution, and their labels.

    Attributes:
        name: for messages and provenance.
        num_channels: of the images.
        label_size: length of the label vectors; 0 = no labels.
    """

    name: str
    num_channels: int
    label_size: int

    def __len__(self) -> int:
        """Number of images."""
        ...

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`.

        Points (`data/points.py`) are float32 `[1, 1, dimensions]`.
        """
        ...

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`: one-hot or the data set's own vector."""
        ...

    def fingerprint(self, count: int, resolution: int) -> str:
        """Says which the first `count` images are at a resolution, by their content.

        Equal only if the images are. Much cheaper than all of the images: files are
        read but not decoded, and nothing is drawn. It need not be the same for equal
        images in other files.
        """
        ...


def open_source(config: DataConfig) -> Source:
    """Opens the images that `config` names, quickly: pixels are read when asked for.

    Raises:
        UserError: the data is missing or unusable; the message says what to do.
    """
    # Imported where needed: most runs use one kind, and TFDS takes a second to load.
    if config.name == "portraits":
        return _open_portraits(config)
    if config.name in POINTS:
        from stylegan_jax.data.points import open_points

        return open_points(config)
    if config.name == "folder":
        from stylegan_jax.data.folder import open_folder

        return open_folder(config)
    if config.name == "zip":
        from stylegan_jax.data.archive import open_archive

        return open_archive(config)
    if config.name == "pyramid":
        from stylegan_jax.data.pyramid import open_pyramid

        return open_pyramid(config)
    from stylegan_jax.data.tfds_source import open_tfds

    return open_tfds(config)


def _open_portraits(config: DataConfig) -> Source:
    from stylegan_jax.data.portraits import Portraits

    size = min(config.portraits_size, config.max_images or config.portraits_size)
    label = None if config.labels == "none" else config.labels
    try:
        portraits = Portraits(size, config.seed, label)
    except ValueError as error:
        raise UserError(f"portraits: {error}") from error
    if config.num_channels == portraits.num_channels:
        return portraits
    return Converted(portraits, config.num_channels)


class Converted:
    """A source with another number of channels.

    Attributes:
        source: the source itself.
    """

    def __init__(self, source: Source, num_channels: int) -> None:
        """Wraps `source`."""
        self.name, self.label_size = source.name, source.label_size
        self.num_channels, self.source = num_channels, source

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`."""
        return convert_channels(self.source.image(index, resolution), self.num_channels)

    def label(self, index: int) -> np.ndarray:
        """The label of the source, float32 `[label_size]`."""
        return self.source.label(index)

    def fingerprint(self, count: int, resolution: int) -> str:
        """Says which the first images are; see `Source`."""
        of_source = self.source.fingerprint(count, resolution)
        return f"{of_source} in {self.num_channels} channels"
