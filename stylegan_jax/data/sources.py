"""Sources of training images, and opening the configured one."""

import hashlib
import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stylegan_jax.data.config import POINTS, DataConfig, check_path
from stylegan_jax.errors import UserError
from stylegan_jax.io.images import convert_channels

_PORTRAIT_CLASSES = {"pose": ("left", "right")}  # those that mirroring exchanges


class Source(Protocol):
    """Random access to square images at any resolution, and their labels.

    `name` is for messages and provenance; `label_size` 0 means no labels.
    """

    name: str
    num_channels: int
    label_size: int

    def __len__(self) -> int: ...

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`.

        Points (`data/arrays.py`) are float32 `[1, 1, dimensions]`.
        """
        ...

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`: one-hot, or the data set's own vector."""
        ...

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of images by indices, or of the first `which`; nothing is decoded.

        Equal digests mean equal images; equal images in other files may differ.
        """
        ...


class Converted:
    """A source with another number of channels, and perhaps class names."""

    def __init__(
        self, source: Source, num_channels: int, label_names: tuple[str, ...] = ()
    ) -> None:
        """Wraps `source`."""
        self.name, self.label_size = source.name, source.label_size
        self.label_names = label_names or getattr(source, "label_names", ())
        self.num_channels, self.source = num_channels, source

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`."""
        return convert_channels(self.source.image(index, resolution), self.num_channels)

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`."""
        return self.source.label(index)

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of the images; see `Source`."""
        of_source = self.source.fingerprint(which, resolution)
        if self.num_channels == self.source.num_channels:
            return of_source
        return f"{of_source} in {self.num_channels} channels"


class Subset:
    """Selected images of a source, under new indices."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        """Selects `indices`, integers `[N]`, of `source`."""
        self.name, self.num_channels = source.name, source.num_channels
        self.label_size = source.label_size
        self.label_names = getattr(source, "label_names", ())
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`."""
        return self.source.image(int(self.indices[index]), resolution)

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`."""
        return self.source.label(int(self.indices[index]))

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of the images; see `Source`."""
        chosen = range(which) if isinstance(which, int) else which
        theirs = [int(self.indices[index]) for index in chosen]
        # The digest of a drawn source covers the whole set.
        digest = hashlib.sha256(repr(theirs).encode()).hexdigest()[:16]
        return f"{self.source.fingerprint(theirs, resolution)} at {digest}"


def unwrapped(
    source: Source, indices: Sequence[int] | np.ndarray
) -> tuple[Source, np.ndarray]:
    """The innermost source, and the indices of images in it."""
    indices = np.asarray(indices, int)
    while isinstance(source, Converted | Subset):
        if isinstance(source, Subset):
            indices = source.indices[indices]
        source = source.source
    return source, indices


def parted(source: Source, config: DataConfig) -> Source:
    """The part of a source by `config.part`; all of it without `holdout`.

    Which images are held out depends on `seed` and their number alone. Raises UserError
    if a part would have fewer than two images.
    """
    if not config.holdout or config.part == "all":
        return source
    total = len(source)
    held = round(config.holdout * total)
    if not 2 <= held <= total - 2:
        raise UserError(
            f"`data.holdout` {config.holdout:g} of {total} images holds {held} out; "
            "both parts need two or more"
        )
    order = np.random.default_rng([config.seed, total]).permutation(total)
    chosen = order[:held] if config.part == "held_out" else order[held:]
    return Subset(source, np.sort(chosen))


def spread(size: int, count: int) -> np.ndarray:
    """Up to `count` of `size` indices, evenly spread: files may be sorted by class."""
    count = min(count, size)
    return np.arange(count) * size // max(count, 1)


def require_classes(source: Source) -> None:
    """Raises UserError unless every label is one-hot; reads no image."""
    if getattr(source, "label_names", ()):
        return
    for index in range(len(source)) if source.label_size else ():
        label = source.label(index)
        if np.count_nonzero(label) != 1 or label.max() != 1:
            shown = ", ".join(f"{value:g}" for value in label[:8])
            raise UserError(
                f"the label of image {index} of {source.name} is the vector ({shown}"
                f"{', ...' if len(label) > 8 else ''}), not one class. Networks are "
                "conditioned on classes: the discriminator has a score for each and "
                "takes that of the image's, so that vectors would be added up, and "
                "zeros would teach nothing. Give one class per image, as a number or a "
                "name in the json or csv file, or train with `data.labels` none"
            )


def open_source(config: DataConfig) -> Source:
    """Opens the configured images; raises UserError if missing or unusable."""
    check_path(config)
    source = parted(_open(config), config)
    if config.mirror and (sided := _sided_classes(source)):
        raise UserError(
            f"labels {config.labels!r} tell left from right ({sided}), and mirroring "
            "would make half of them wrong; leave `data.mirror` off"
        )
    return source


def _sided_classes(source: Source) -> str:
    """Two classes that mirroring exchanges, or ""."""
    names = tuple(getattr(source, "label_names", ()))
    swap = {"left": "right", "right": "left"}
    pairs = (
        f"{name} and {other}"
        for name in names
        if (other := re.sub("left|right", lambda m: swap[m[0]], name)) != name
        and other in names
    )
    return next(pairs, "")


def _open(config: DataConfig) -> Source:
    # Lazy imports: most runs use one kind, and TFDS takes a second.
    if config.name == "portraits":
        return _open_portraits(config)
    if config.name in POINTS:
        from stylegan_jax.data.arrays import open_points

        return open_points(config)
    if config.name in ("folder", "zip"):
        from stylegan_jax.data.image_files import open_image_files

        return open_image_files(config)
    if config.name == "pyramid":
        from stylegan_jax.data.pyramid import open_pyramid

        return open_pyramid(config)
    from stylegan_jax.data.tfds_source import open_tfds

    return open_tfds(config)


def _open_portraits(config: DataConfig) -> Source:
    from stylegan_jax.data.portraits.source import Portraits

    size = min(config.portraits_size, config.max_images or config.portraits_size)
    label = None if config.labels == "none" else config.labels
    try:
        portraits = Portraits(size, config.seed, label)
    except UserError as error:
        raise UserError(f"portraits: {error}") from error
    names = _PORTRAIT_CLASSES.get(config.labels, ())
    if config.num_channels == portraits.num_channels and not names:
        return portraits
    return Converted(portraits, config.num_channels, names)
