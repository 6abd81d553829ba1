"""Sources of stored images that survive damaged files.

The next sound image replaces a damaged one, equally in every process and after every
restart, so that one file does not end a run.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import images, resampling
from stylegan_jax.io.depth import Whites

_MAX_LISTED = 5
_STAND_INS = 8  # images further on, which may replace damaged ones at the end
_logger = logging.getLogger(__name__)


class Skipped(NamedTuple):
    """An unused file and the reason."""

    name: str
    reason: str


class Labels(Protocol):
    """Label vectors by image."""

    @property
    def size(self) -> int:
        """Length of a label vector."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes; () for vectors."""
        ...

    def vector(self, index: int) -> np.ndarray:
        """Label of one image, float32 `[size]`."""
        ...


class StoredSource:
    """Random access to stored images; a thread-safe `Source`.

    `replaced` maps damaged images found since opening to the reason.
    """

    def __init__(
        self, name: str, count: int, *, num_channels: int, labels: Labels | None
    ) -> None:
        """Declares `count` images, presumed sound."""
        self.name, self.num_channels = name, num_channels
        self.label_size = labels.size if labels else 0
        self.label_names = labels.names if labels else ()
        self.replaced: dict[int, str] = {}
        self._count, self._labels = count, labels
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def image(self, index: int, resolution: int) -> np.ndarray:
        """Image `index`, or the next sound one, uint8 `[resolution, resolution, C]`.

        Raises UserError if half of the images are damaged, or one has a wrong shape.
        """
        while True:
            actual = self._actual(index)
            try:
                return self._load(actual, resolution)
            except (images.UnreadableImageError, OSError) as error:
                self._replace(actual, str(error))

    def label(self, index: int) -> np.ndarray:
        """Label of `index` or its replacement, float32; call `image` first."""
        if self._labels is None:
            return np.zeros(0, np.float32)
        return self._labels.vector(self._actual(index))

    def _load(self, index: int, resolution: int) -> np.ndarray:
        raise NotImplementedError

    def _actual(self, index: int) -> int:
        while index in self.replaced:
            index = (index + 1) % self._count
        return index

    def _replace(self, index: int, reason: str) -> None:
        with self._lock:
            if index in self.replaced:
                return
            count = len(self.replaced) + 1
            if count > self._count // 2:
                raise UserError(
                    f"{count} of {self._count} images of {self.name} are damaged, the "
                    f"last one: {reason}"
                )
            self.replaced[index] = reason
            if count <= _MAX_LISTED:
                _logger.warning(
                    "image %d of %s is damaged (%s); the next one takes its place",
                    index,
                    self.name,
                    reason,
                )


class EncodedSource(StoredSource):
    """Images kept as the bytes of PNG, JPEG and other files.

    `sides` are shorter sides in pixels, `[N]`, if known; `skipped` the unused files.
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
        """Wraps `read`, index -> encoded bytes, which several threads call.

        Args:
            whites: see `images.read_image`; by default the full range of a file.
            allow_crop: False makes an image that is not square an error.
            pad: see `resampling.square_box`.
        """
        super().__init__(name, count, num_channels=num_channels, labels=labels)
        self.sides, self.skipped = sides, tuple(skipped)
        self._read, self._allow_crop, self._pad = read, allow_crop, pad
        self._whites = dict(whites or {})
        self._warned: set[int] = set()  # resolutions

    def fingerprint(self, which: int | Sequence[int], resolution: int) -> str:
        """Digest of files, including possible replacements at the end; see `Source`."""
        if isinstance(which, int):
            which = range(min(self._count, which + _STAND_INS))

        def digest(index: int) -> bytes:
            try:
                return hashlib.sha256(self._read(int(index))).digest()
            except (images.UnreadableImageError, OSError) as error:
                return f"unreadable: {error}".encode()

        with ThreadPoolExecutor(8) as pool:
            found = hashlib.sha256(b"\n".join(pool.map(digest, which)))
        how = f"{self.num_channels} channels, padded {self._pad}"
        how += f", white {self._whites}" if self._whites else ""
        return f"{found.hexdigest()} of {self._count}, {how}"

    def _load(self, index: int, resolution: int) -> np.ndarray:
        def squared(pixels: np.ndarray) -> np.ndarray:
            height, width = pixels.shape[:2]
            if height != width and not self._allow_crop:
                raise UserError(
                    f"image {index} of {self.name} is {width}x{height}, not square; "
                    "use crop=center"
                )
            if resolution not in self._warned:
                self._warn_of_small(resolution, min(height, width))
            return resampling.square_box(pixels, resolution, pad=self._pad)

        data = self._read(index)
        return images.read_image(
            data, self.num_channels, whites=self._whites, shrink=squared
        )

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
