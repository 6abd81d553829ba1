"""Durations as text, images per second, and events due by image count.

`nimg` counts the real images shown so far; a kimg is a thousand.
"""

from __future__ import annotations

import collections
import time


def hms(seconds: float) -> str:
    """Formats a duration: `1d 04h 12m`, `4h 12m`, `12m 33s`, `7s`; unknown ones `?`."""
    if not 0 <= seconds < 1e9:  # False for NaN too
        return "?"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days}d {h:02d}h {m:02d}m"
    if hours:
        return f"{h}h {m:02d}m"
    if minutes:
        return f"{m}m {s:02d}s"
    return f"{s}s"


def due(nimg: int, last_nimg: int, every_kimg: float) -> bool:
    """Whether a multiple of `every_kimg`, or of an image, lies in `(last_nimg, nimg]`.

    Multiples, not distances, keep a resumed run in step with a straight one.
    """
    every_nimg = max(1, round(every_kimg * 1000))
    return nimg // every_nimg > last_nimg // every_nimg


class RateMeter:
    """Recent images per second; time before a `restart` (compiling) does not count."""

    def __init__(self, window_seconds: float = 120.0) -> None:
        """Averages over `window_seconds`."""
        self._window_seconds = window_seconds
        self._spans: collections.deque[tuple[int, float]] = collections.deque()
        self._mark: tuple[int, float] | None = None

    def restart(self, nimg: int, now: float | None = None) -> None:
        """Leaves out everything since the last `update`."""
        self._mark = (nimg, time.monotonic() if now is None else now)

    def update(self, nimg: int, now: float | None = None) -> float | None:
        """Adds the span since the last mark; returns images/s, None if unknown."""
        now = time.monotonic() if now is None else now
        if self._mark is not None and nimg > self._mark[0] and now > self._mark[1]:
            self._spans.append((nimg - self._mark[0], now - self._mark[1]))
        self._mark = (nimg, now)
        if not self._spans:
            return None
        images, seconds = map(sum, zip(*self._spans, strict=True))
        while len(self._spans) > 1 and seconds > self._window_seconds:
            oldest = self._spans.popleft()
            images, seconds = images - oldest[0], seconds - oldest[1]
        return images / seconds
