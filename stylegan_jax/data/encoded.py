"""Images kept as encoded bytes (PNG, JPEG, ...): decoding, and making them square.

Folders, zip files and TFDS data sets all end here; they differ in how the bytes of
one image are had.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from stylegan_jax.data.substitutes import Substitutes
from stylegan_jax.errors import UserError
from stylegan_jax.io import images, resampling
from stylegan_jax.io.depth import Whites

_logger = logging.getLogger(__name__)

_STAND_INS = 8  # images further on, which may replace damaged ones at the end


class Skipped(NamedTuple):
    """A file that is not used, and why."""

    name: str
    reason: str


class Labels(Protocol):
    """Label vectors by image: their length, the classes' names, and one of them."""

    @property
    def size(self) -> int:
        """Length of a label vector."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes; () for vectors."""
        ...

    def vector(self, index: int) -> np.ndarray:
        """Label of one image, float32 `[size]`."""
        ...


class EncodedSource:
    """Random access to encoded images; a `Source`.

    Attributes:
        name: for messages and provenance.
        num_channels: of the images returned.
        label_size: 0 = no labels.
        label_names: of the classes, () when there are none.
        sides: shorter side of each image in pixels, `[N]`; None if not known.
        skipped: files found when opening that are not used.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        count: int,
        *,
        name: str,
        num_channels: int,
        labels: Labels | None = None,
        sides: np.ndarray | None = None,
        skipped: Sequence[Skipped] = (),
        whites: Whites | None = None,
        allow_crop: bool = True,
        pad: bool = False,
    ) -> None:
        """Wraps a reader.

        Args:
            read: index -> encoded bytes; called from several threads.
            count: number of images.
            name: see class.
            num_channels: see class.
            labels: one per image.
            sides: see class.
            skipped: see class.
            whites: see `images.read_image`; by default of all that a file can hold.
            allow_crop: False makes an image that is not square an error.
            pad: see `resampling.square_box`.
        """
        self.name = name
        self.num_channels = num_channels
        self.label_size = labels.size if labels else 0
        self.label_names = labels.names if labels else ()
        self.skipped = tuple(skipped)
        self._read, self._count, self._labels = read, count, labels
        self.sides, self._allow_crop, self._pad = sides, allow_crop, pad
        self._whites = dict(whites or {})
        self._substitutes = Substitutes(name, count)
        self._warned: set[int] = set()  # resolutions

    @property
    def replaced(self) -> Mapping[int, str]:
        """Images found to be damaged since opening: index -> reason."""
        return self._substitutes.reasons

    def __len__(self) -> int:
        """Number of usable images."""
        return self._count

    def image(self, index: int, resolution: int) -> np.ndarray:
        """Decodes image `index` as uint8 `[resolution, resolution, num_channels]`.

        Raises:
            UserError: most of the images are damaged, or one that may not be cropped
                is not square.
        """
        while True:
            actual = self._substitutes.actual(index)
            try:
                return images.read_image(
                    self._read(actual),
                    self.num_channels,
                    whites=self._whites,
                    shrink=lambda pixels, of=actual: self._square(
                        pixels, of, resolution
                    ),
                )
            except (images.UnreadableImageError, OSError) as error:
                self._substitutes.add(actual, str(error))

    def _square(self, pixels: np.ndarray, index: int, resolution: int) -> np.ndarray:
        height, width = pixels.shape[:2]
        if height != width and not self._allow_crop:
            raise UserError(
                f"image {index} of {self.name} is {width}x{height}, not square; use "
                f"crop=center"
            )
        if resolution not in self._warned:
            self._warn_of_small(resolution, min(height, width))
        return resampling.square_box(pixels, resolution, pad=self._pad)

    def label(self, index: int) -> np.ndarray:
        """Label of image `index`, float32 `[label_size]`.

        It is the replacement's label once `image` has found `index` to be damaged, so
        ask for the image first.
        """
        if self._labels is None:
            return np.zeros(0, np.float32)
        return self._labels.vector(self._substitutes.actual(index))

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Says which images these are, by the bytes of their files; see `Source`.

        What stands in for a damaged image among the first is decided by those files,
        too.
        """
        if isinstance(which, int):
            chosen = range(min(self._count, which + _STAND_INS))
        else:
            chosen = [int(index) for index in which]

        def digest(index: int) -> bytes:
            try:
                return hashlib.sha256(self._read(index)).digest()
            except (images.UnreadableImageError, OSError) as error:
                return f"unreadable: {error}".encode()

        with ThreadPoolExecutor(8) as pool:
            found = hashlib.sha256(b"\n".join(pool.map(digest, chosen)))
        how = f"{self.num_channels} channels, padded {self._pad}"
        how += f", white {self._whites}" if self._whites else ""
        return f"{found.hexdigest()} of {self._count}, {how}"

    def _warn_of_small(self, resolution: int, side: int) -> None:
        if self.sides is not None:
            self._warned.add(resolution)
            count = int(np.sum(self.sides < resolution))
            which = f"{count} of {self._count} images of {self.name} are"
        else:
            count = int(side < resolution)
            which = f"an image of {self.name} is"
        if count:
            self._warned.add(resolution)
            _logger.warning(
                "%s smaller than %d px and will be enlarged", which, resolution
            )
