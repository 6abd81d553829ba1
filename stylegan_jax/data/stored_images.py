"""Sources of stored images that survive damaged files.

The next sound image replaces a damaged one, equally in every process and after every
restart, so that one file does not end a run.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.labels import LabelTable
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.io import images, resampling
from stylegan_jax.io.images import Whites

_MAX_LISTED = 5
_logger = logging.getLogger(__name__)


class StoredSource(Source):
    """Random access to stored images; thread-safe.

    `replaced` maps damaged images found since opening to the reason.
    """

    def __init__(
        self, name: str, count: int, num_channels: int, labels: LabelTable | None
    ) -> None:
        """Declares `count` images, presumed sound."""
        self.name, self.num_channels = name, num_channels
        if labels:
            self.label_size, self.label_names = labels.size, labels.names
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
            return super().label(index)
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
                    f"image {index} of {self.name} is damaged ({reason}); the next one "
                    "takes its place"
                )


class EncodedSource(StoredSource):
    """Images kept as the bytes of PNG, JPEG and other files, read by several threads.

    `skipped` are unused files, and the reasons.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[int], bytes],
        sides: np.ndarray,
        config: DataConfig,
        *,
        labels: LabelTable | None,
        whites: Whites,
        pad: bool,
        skipped: Mapping[str, str] | None = None,
    ) -> None:
        """Wraps `read`, index -> encoded bytes, of images with shorter `sides`, `[N]`.

        Sides are 0 if unknown; `whites` are those of `images.read_image`, and `pad` is
        that of `resampling.square_box`.
        """
        super().__init__(name, len(sides), config.num_channels, labels)
        if pad:
            sides = np.exp2(np.ceil(np.log2(np.maximum(sides, 1)))) * (sides > 0)
        self.side, self.skipped = int(sides.min()) or None, dict(skipped or {})
        self._read, self._whites, self._sides = read, dict(whites), sides
        self._pad, self._crops = pad, config.crop == "center"
        self._warned: set[int] = set()  # resolutions

    def fingerprint(self, indices: Sequence[int], resolution: int) -> str:
        """Digest of some files; see `Source`."""

        def digest(index: int) -> bytes:
            try:
                return hashlib.sha256(self._read(int(index))).digest()
            except (images.UnreadableImageError, OSError) as error:
                return f"unreadable: {error}".encode()

        with ThreadPoolExecutor(8) as pool:
            found = hashlib.sha256(b"\n".join(pool.map(digest, indices)))
        how = f"{self.num_channels} channels, padded {self._pad}"
        how += f", white {self._whites}" if self._whites else ""
        return f"{found.hexdigest()} of {self._count}, {how}"

    def _load(self, index: int, resolution: int) -> np.ndarray:
        def squared(pixels: np.ndarray) -> np.ndarray:
            height, width = pixels.shape[:2]
            if height != width and not self._crops:
                raise UserError(
                    f"image {index} of {self.name} is {width}x{height}, not square; "
                    "use crop=center"
                )
            return resampling.square_box(pixels, resolution, pad=self._pad)

        if resolution not in self._warned:
            self._warned.add(resolution)
            if count := np.sum((self._sides > 0) & (self._sides < resolution)):
                _logger.warning(
                    f"{count} of {self._count} images of {self.name} are smaller than "
                    f"{resolution} px and will be enlarged"
                )
        return images.read_image(
            self._read(index), self.num_channels, whites=self._whites, shrink=squared
        )
