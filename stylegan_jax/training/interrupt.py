"""Graceful stop at the end of a step, by SIGTERM or Ctrl-C, in all processes."""

from __future__ import annotations

import os
import signal
import threading
import time
import types
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from stylegan_jax.distributed import processes

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Context in which SIGTERM and Ctrl-C ask for a stop; a second Ctrl-C interrupts.

    Outside the main thread, where Python allows no handlers, none are installed.
    `received` is the number of this process's signal, `agreed` that on which every
    process acts; 0 is none.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Installs nothing before the object is entered."""
        self.received, self.agreed = 0, 0
        self._ballot = processes.Ballot(mesh)
        self._former: dict[int, Any] = {}

    def agree(self) -> None:
        """Shares what was received; every process calls it after the same step."""
        self.agreed = self._ballot.cast(self.received)

    def wait(self, ready: Callable[[], bool]) -> bool:
        """Waits until all processes are ready; False when one has to stop."""
        while not (ready() or self.received):
            time.sleep(0.05)
        self.agreed = processes.largest(self.received)
        return not self.agreed

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        while self._former:
            number, former = self._former.popitem()
            # None: a handler not installed from Python cannot be restored.
            signal.signal(number, signal.SIG_DFL if former is None else former)

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        # Not print(), which is not reentrant.
        name = signal.Signals(number).name
        os.write(2, f"\n{name}: stopping after this step\n".encode())
