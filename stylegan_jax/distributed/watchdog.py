"""Ending a process that would wait for ever, and saying why.

A collective waits for all processes. When one of them is dead, stopped or stuck, the
others hang in XLA, where no Python exception can reach them; a thread has to end them.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from stylegan_jax.distributed.peers import Peers
from stylegan_jax.errors import AgreedError

_log = logging.getLogger(__name__)

# EX_TEMPFAIL of sysexits.h: nothing is wrong with the run itself, start it again.
LOST_STATUS = 75
STEPPING = "training"
_SLOW = 20  # times the longest step so far; the first ones, times `stall_seconds`
_WORK = 45  # times `stall_seconds`, for other work
_SETTLE_SECONDS = 15.0  # for a checkpoint that is being written


class Watchdog:
    """Watches this process's steps and, through `peers`, the other processes.

    Enter it around training. A stuck step is reported with what every thread does;
    with other processes waiting, the process ends with status 75.
    """

    def __init__(self, stall_seconds: float, peers: Peers | None = None) -> None:
        """Watches nothing before it is entered.

        Args:
            stall_seconds: without a step for so long training is stuck; 0 never. A
                step may take 20 times as long as the longest of its phase, the first
                three of a phase 20 times `stall_seconds` and other work (compiling,
                saving) 45 times; what comes before `begin` is not limited.
            peers: the processes of the job.
        """
        self.peers = peers or Peers()
        self.settle: Callable[[float], None] = lambda timeout: None
        self._stall_seconds = stall_seconds
        self._patience = math.inf
        self._since = time.monotonic()
        self._longest = 0.0
        self._steps = 0  # of this phase
        self._reported = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog")
        self._thread.daemon = True

    def step(self) -> None:
        """A step has been handed to the devices, and an earlier one has ended."""
        now = time.monotonic()
        self.peers.steps += 1
        self._steps += 1
        # The first ones end at once, or wait for what was compiled.
        if self._steps > 3 and self.peers.doing == STEPPING:
            self._longest = max(self._longest, now - self._since)
        self._since = now
        self._reported = False
        self.peers.doing = STEPPING

    def new_phase(self) -> None:
        """Steps will be of another length from here on."""
        self._steps, self._longest = 0, 0.0
        self._since = time.monotonic()

    def begin(self, work: str, patience: float | None = None) -> None:
        """Something else than a step begins, such as `compiling`; a step ends it.

        Args:
            work: what the process does.
            patience: seconds that it may take; None: 45 times `stall_seconds`.
        """
        self._patience = _WORK * self._stall_seconds if patience is None else patience
        self.peers.doing = work
        self._since = time.monotonic()

    def __enter__(self) -> Watchdog:
        """Starts watching."""
        self.peers.__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        """Stops watching; an error is told to the others, or blamed on them."""
        self._stop.set()
        if error is None or isinstance(error, AgreedError) or self.peers.count == 1:
            self.peers.leave()
            return
        cause = self.peers.cause_of(error)
        if cause:
            self._leave(cause)
        text = (str(error).strip() or "no message").splitlines()[0][:300]
        self.peers.fail(f"{type(error).__name__}: {text}")
        self.peers.leave()
        self.peers.linger()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            cause = self.peers.trouble()
            if cause:
                self._leave(cause)
            self._look_at_steps()

    def _look_at_steps(self) -> None:
        waited = time.monotonic() - self._since
        if not self._stall_seconds or waited < self._limit() or self._reported:
            return
        self._reported = True
        what = f"no progress for {waited:.0f} s while {self.peers.doing}"
        _log.warning("%s; where every thread is:", what)
        with contextlib.suppress(Exception):  # standard error without a descriptor
            faulthandler.dump_traceback(sys.stderr)
        if self.peers.count == 1:
            return
        laggards = self.peers.laggards()
        if self.peers.index in laggards or self.peers.doing != STEPPING:
            self.peers.fail(f"{what}, the others wait for it")
            self._leave(f"{self.peers.name(self.peers.index)}: {what}")
        if laggards:
            names = " and ".join(map(self.peers.name, laggards))
            self._leave(f"{what}: {names} did not begin the same step")
        self._leave(f"{what}: all processes wait, a device or the network is stuck")

    def _limit(self) -> float:
        if self.peers.doing != STEPPING:
            return self._patience
        if self.peers.busy(STEPPING):
            return math.inf  # that process looks after itself
        if self._steps <= 3:
            return _SLOW * self._stall_seconds
        return max(self._stall_seconds, _SLOW * self._longest)

    def _leave(self, cause: str) -> NoReturn:
        """Ends the process from whatever thread."""
        print(
            f"error: {cause}. Start all processes again: they continue from what was "
            "saved last",
            file=sys.stderr,
            flush=True,
        )
        with contextlib.suppress(Exception):
            self.settle(_SETTLE_SECONDS)
        self.peers.leave()
        self.peers.linger()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(LOST_STATUS)
