"""Watchdog of training steps: reports, or ends, a process that hangs.

JAX notices a dead process by its connections and heartbeats, but not one that hangs
while heartbeats go on: the others wait inside XLA, out of reach of Python exceptions.
"""

from __future__ import annotations

import faulthandler
import math
import re
import time

import jax

from stylegan_jax.errors import LostProcessError, UserError

_SLOW = 20  # times the longest step so far; the first ones, times `stall_seconds`
_WORK = 45  # times `stall_seconds`, for other work
_FIRST = 3  # steps: dispatched at once, or waiting for other processes
_COMMUNICATION = re.compile(
    r"gloo|nccl|rccl|all-?reduce|all-?gather|collective|coordination|connection|"
    r"barrier|UNAVAILABLE|DEADLINE_EXCEEDED|halted",
    re.IGNORECASE,
)


class Watchdog:
    """Timer that every step restarts; a context around work of several processes.

    On expiry `faulthandler` writes all stacks to standard error and, with several
    processes, ends this one with status 1. Errors in the block that a lost process
    caused become LostProcessError.
    """

    def __init__(self, stall_seconds: float = 0.0) -> None:
        """Starts with the first call of `step` or `begin`.

        `stall_seconds` is the shortest time to expiry; 0 disables. A step may take 20
        times the longest of its phase, the first three of a phase or after other work
        20 times `stall_seconds`, and other work (compiling, saving) 45 times.
        """
        self._stall = stall_seconds
        self._since, self._longest, self._lenient = time.monotonic(), 0.0, _FIRST

    def step(self) -> None:
        """Restarts the timer: a step was dispatched, and an earlier one has ended."""
        now = time.monotonic()
        if self._lenient:
            self._lenient -= 1
        else:
            self._longest = max(self._longest, now - self._since)
        self._since = now
        usual = self._stall if self._lenient else self._longest
        self._arm(max(self._stall, _SLOW * usual))

    def new_phase(self) -> None:
        """Forgets the longest step: the next ones are of another length."""
        self._longest, self._lenient = 0.0, _FIRST

    def begin(self) -> None:
        """Begins other work, such as compiling; a step ends it."""
        self._lenient = _FIRST
        self._arm(_WORK * self._stall)

    def pause(self) -> None:
        """Stops the timer until the next step, for work of any length."""
        self._lenient = _FIRST
        self._arm(math.inf)

    def _arm(self, seconds: float) -> None:
        if self._stall and seconds < math.inf:
            several = jax.process_count() > 1
            faulthandler.dump_traceback_later(seconds, exit=several, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        faulthandler.cancel_dump_traceback_later()
        if not isinstance(error, Exception) or isinstance(error, UserError):
            return
        text = (str(error).strip() or "no message").splitlines()[0][:200]
        if jax.process_count() > 1 and _COMMUNICATION.search(text):
            raise LostProcessError(
                f"process {jax.process_index()} of {jax.process_count()} has lost the "
                f"connection to another one ({text}): that one was ended or killed, "
                "and its own output may say why, or the network is down. Start all "
                "processes again: they continue from what was saved last"
            ) from error
