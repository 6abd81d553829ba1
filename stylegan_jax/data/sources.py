"""Sources of training images, and opening the configured one."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence

import numpy as np

from stylegan_jax.data.config import POINTS, DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.io.resampling import square_box


class Source:
    """Random access to square images at any resolution, and their labels.

    `name` is for messages and provenance, `label_size` 0 without labels, `label_names`
    () without classes, `side` that of the smallest image in pixels, None if any.
    """

    name: str
    num_channels: int
    label_size: int = 0
    label_names: tuple[str, ...] = ()
    side: int | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`."""
        raise NotImplementedError

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`: one-hot, or the data set's own vector."""
        return np.zeros(0, np.float32)

    def fingerprint(self, indices: Sequence[int], resolution: int) -> str:
        """Digest of some images; nothing is decoded.

        Equal digests mean equal images; equal images in other files may differ.
        """
        raise NotImplementedError


class Subset(Source):
    """Selected images of a source, under new indices."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        """Selects `indices`, integers `[N]`, of `source`."""
        self.name, self.num_channels = source.name, source.num_channels
        self.label_size, self.label_names = source.label_size, source.label_names
        self.source, self.indices, self.side = source, indices, source.side

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One image, uint8 `[resolution, resolution, num_channels]`."""
        return self.source.image(int(self.indices[index]), resolution)

    def label(self, index: int) -> np.ndarray:
        """Its label, float32 `[label_size]`."""
        return self.source.label(int(self.indices[index]))

    def fingerprint(self, indices: Sequence[int], resolution: int) -> str:
        """Digest of some images; see `Source`."""
        theirs = [int(self.indices[index]) for index in indices]
        # The digest of a drawn source covers the whole set.
        digest = hashlib.sha256(repr(theirs).encode()).hexdigest()[:16]
        return f"{self.source.fingerprint(theirs, resolution)} at {digest}"


@dataclasses.dataclass(eq=False)
class ArraySource(Source):
    """Unlabelled images in memory, uint8 `[N, H, W, C]`, of which squares are cut."""

    values: np.ndarray
    name: str = "the array"

    def __post_init__(self) -> None:
        dtype, shape = self.values.dtype, self.values.shape
        if dtype != np.uint8 or len(shape) != 4 or shape[3] > 4:
            raise UserError(
                f"{self.name} is {dtype} {list(shape)}; images are uint8 [N, H, W, C] "
                "(io.images.to_uint8 makes them of floats in [-1, 1])"
            )
        self.num_channels, self.side = shape[3], min(shape[1:3])

    def __len__(self) -> int:
        return len(self.values)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """Central square of one image, uint8 `[resolution, resolution, C]`."""
        return square_box(self.values[index], resolution)

    def fingerprint(self, indices: Sequence[int], resolution: int) -> str:
        """Digest of the values; see `Source`."""
        found = hashlib.sha256(str(self.values.shape[1:]).encode())
        for index in indices:
            found.update(self.values[index].tobytes())
        return found.hexdigest()


class Points(ArraySource):
    """Sample of an equal mixture of distributions, reproducible for its seed.

    They are normal, but uniform in squares of `corner`.

    A point is a one-pixel image, float32 `[1, 1, dimensions]`, whose channels are its
    coordinates; `centers` is float32 `[modes, dimensions]`.
    """

    def __init__(self, config: DataConfig) -> None:
        """Draws a ring or `corner` in the plane, or one around 1 on the line.

        `corner` is the square from -1 to 1 without the quadrant of two positive
        coordinates: two factors, of which one combination is missing.
        """
        centers, std = np.ones((1, 1)), config.points_std
        if config.name == "ring":
            angles = 2 * np.pi * np.arange(config.ring_modes) / config.ring_modes
            centers = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        if config.name == "corner":
            centers = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5]])
            std = 12**-0.5  # of a square of side 1
        size = min(config.points_size, config.max_images or config.points_size)
        rng = np.random.Generator(np.random.Philox(config.seed))
        modes = rng.integers(len(centers), size=size)
        shape = (size, centers.shape[1])
        if config.name == "corner":
            spread = rng.uniform(-0.5, 0.5, shape)
        else:
            spread = std * rng.standard_normal(shape)
        self.name, self.num_channels = config.name, centers.shape[1]
        self.centers, self.std = centers.astype(np.float32), std
        self.values = (centers[modes] + spread).astype(np.float32)

    def image(self, index: int, resolution: int) -> np.ndarray:
        """One point; `resolution` is 1."""
        return self.values[index].reshape(1, 1, -1)


def unwrapped(
    source: Source, indices: Sequence[int] | np.ndarray
) -> tuple[Source, np.ndarray]:
    """A source, or that of which it is a `Subset`, and indices of images in it."""
    indices = np.asarray(indices, int)
    if isinstance(source, Subset):
        return source.source, source.indices[indices]
    return source, indices


def spread(size: int, count: int) -> np.ndarray:
    """Up to `count` of `size` indices, evenly spread: files may be sorted by class."""
    count = min(count, size)
    return np.arange(count) * size // max(count, 1)


def choose(count: int, config: DataConfig) -> np.ndarray:
    """Indices of all images, or of random `config.max_images`: files may be sorted."""
    if config.max_images is None or config.max_images >= count:
        return np.arange(count)
    order = np.random.default_rng(config.seed).permutation(count)
    return np.sort(order[: config.max_images])


def require_classes(source: Source) -> None:
    """Raises UserError unless every label is one-hot; reads no image."""
    if source.label_names or not source.label_size:
        return
    for index in range(len(source)):
        label = source.label(index)
        if np.count_nonzero(label) != 1 or label.max() != 1:
            shown = ", ".join(f"{value:g}" for value in label[:8])
            raise UserError(
                f"the label of image {index} of {source.name} is the vector ({shown}"
                f"{', ...' if len(label) > 8 else ''}), not one class, which networks "
                "are conditioned on: give a number or name per image in the json or "
                "csv file, or train with `data.labels` none"
            )


def open_source(config: DataConfig) -> Source:
    """Opens the configured images; raises UserError if missing or unusable."""
    if config.path is not None and config.name in ("portraits", *POINTS):
        raise UserError(
            f"data.path {config.path} is nothing that {config.name!r} could use, which "
            "is drawn: set data.name to folder, zip or pyramid if that is there, or "
            "leave data.path out"
        )
    source = _part(_open(config), config)
    if config.mirror and (sided := _sided_classes(source.label_names)):
        raise UserError(
            f"labels {config.labels!r} tell left from right ({sided}), and mirroring "
            "would make half of them wrong; leave `data.mirror` off"
        )
    return source


def _open(config: DataConfig) -> Source:
    # Lazy imports: most runs use one kind, and TFDS takes a second.
    if config.name in POINTS:
        return Points(config)
    if config.name == "portraits":
        from stylegan_jax.data.portraits.source import Portraits

        size = min(config.portraits_size, config.max_images or config.portraits_size)
        label = None if config.labels == "none" else config.labels
        return Portraits(size, config.seed, label, config.num_channels)
    if config.name in ("folder", "zip"):
        from stylegan_jax.data.image_files import open_image_files

        return open_image_files(config)
    if config.name == "pyramid":
        from stylegan_jax.data.pyramid import open_pyramid

        return open_pyramid(config)
    from stylegan_jax.data.tfds_source import open_tfds

    return open_tfds(config)


def _part(source: Source, config: DataConfig) -> Source:
    """The images of `config.part`, which depend on `seed` and their number alone."""
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


def _sided_classes(names: Sequence[str]) -> str:
    """Two classes that mirroring exchanges, or ""."""
    swap = {"left": "right", "right": "left"}
    for name in names:
        other = re.sub("left|right", lambda m: swap[m[0]], name)
        if other != name and other in names:
            return f"{name} and {other}"
    return ""
