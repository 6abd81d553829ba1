"""Orbax's own complaints about reads and writes that have failed, kept quiet."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any


class _Quiet:
    """A hook for errors that nobody catches, but for Orbax's late callbacks."""

    def __init__(self, former: Callable[..., Any]) -> None:
        self._former = former

    def __call__(self, *told: Any) -> None:
        # Either (type, value, traceback) or one object that has all three.
        error = told[1] if len(told) == 3 else told[0].exc_value
        trace = getattr(error, "__traceback__", None)
        begins = trace.tb_frame.f_code.co_name if trace is not None else ""
        if begins != "call_soon_threadsafe" or "loop is closed" not in str(error):
            self._former(*told)


def ignore_late_callbacks() -> None:
    """Keeps failed reads and writes quiet from here on.

    At the first array that cannot be read or written Orbax closes its event loop, and
    every other one still under way then complains that it is closed, whenever it ends.
    """
    for name in ("excepthook", "unraisablehook"):
        former = getattr(sys, name)
        if not isinstance(former, _Quiet):
            setattr(sys, name, _Quiet(former))


@contextlib.contextmanager
def thread_errors_told_once() -> Iterator[None]:
    """Drops the tracebacks that Orbax's threads log before the error is raised."""

    def is_news(record: logging.LogRecord) -> bool:
        return "_SignalingThread" not in str(record.msg)

    logger = logging.getLogger("absl")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
