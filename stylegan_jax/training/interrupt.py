"""Stopping a run at the end of a step instead of in its middle."""

from __future__ import annotations

import os
import signal
import threading
import types
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """While entered, SIGTERM and Ctrl-C set a flag that the loop looks at.

    A second Ctrl-C raises KeyboardInterrupt at once. The former handlers come back
    on leaving. Outside the main thread, where Python allows no handlers, nothing is
    installed. The flag is this process's own: with several processes it must be
    agreed on before any of them acts on it.
    """

    def __init__(self) -> None:
        """Nothing is installed before the object is entered."""
        self._received: signal.Signals | None = None
        self._former: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._received is not None

    @property
    def number(self) -> int:
        """The signal's number; 0 when none has come."""
        return 0 if self._received is None else int(self._received)

    @property
    def name(self) -> str:
        """The signal's name, `SIGTERM` or `SIGINT`; empty when none has come."""
        return "" if self._received is None else self._received.name

    def __enter__(self) -> StopSignal:
        """Installs the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        """Puts the former handlers back."""
        while self._former:
            number, former = self._former.popitem()
            # None: a handler that was not installed from Python; it is gone.
            signal.signal(number, signal.SIG_DFL if former is None else former)

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = signal.Signals(number)
        # Not print(): the signal may have come in the middle of another print.
        os.write(2, f"\n{self.name}: stopping after this step\n".encode())
