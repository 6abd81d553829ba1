"""Images that turn out to be damaged in the middle of a run, and what replaces them.

A run of days must not end because of one file. The next image takes the place of a
damaged one: that is the same in every process and after every restart.
"""

import logging
import threading

from stylegan_jax.errors import UserError

_MAX_LISTED = 5
_logger = logging.getLogger(__name__)


class Substitutes:
    """Which images of a source are damaged. Safe to use from threads.

    Attributes:
        reasons: index of each damaged image found so far -> why it is not used.
    """

    def __init__(self, name: str, count: int) -> None:
        """Begins with `count` images of the source `name`, all taken to be sound."""
        self.reasons: dict[int, str] = {}
        self._name, self._count = name, count
        self._lock = threading.Lock()

    def actual(self, index: int) -> int:
        """The image to use for `index`: itself, or the next one that is sound."""
        while index in self.reasons:
            index = (index + 1) % self._count
        return index

    def add(self, index: int, reason: str) -> None:
        """Notes that image `index` is damaged.

        Raises:
            UserError: that makes half of all images, which is not bad luck any more.
        """
        with self._lock:
            if index in self.reasons:
                return
            if len(self.reasons) + 1 > self._count // 2:
                raise UserError(
                    f"{len(self.reasons) + 1} of {self._count} images of {self._name} "
                    f"are damaged, the last one: {reason}"
                )
            self.reasons[index] = reason
            if len(self.reasons) <= _MAX_LISTED:
                _logger.warning(
                    "image %d of %s is damaged (%s); the next one takes its place",
                    index,
                    self._name,
                    reason,
                )
