"""Signs of life of the processes of a job, and why one of them has ended.

Every process posts a note every two seconds and reads the others'. JAX's own
coordination notices dead processes too, but not stuck ones, and what it does then is
to abort with a stack trace.
"""

from __future__ import annotations

import os
import platform
import re
import threading
import time
from typing import Any

import jax

from stylegan_jax.distributed import processes

_BEAT_SECONDS = 2.0
SILENCE_SECONDS = 25.0  # without a sign of life a process is given up
# After a broken connection: four signs of life are missing, somebody must be dead.
_BROKEN_SECONDS = 8.0
_LINGER_SECONDS = 10.0  # process 0 holds the notes for the others for as long
# And so long after they have left, so that they end before JAX ends them.
_FAREWELL_SECONDS = 1.0
_COMMUNICATION = re.compile(
    r"gloo|nccl|rccl|all-?reduce|all-?gather|collective|coordination|connection|"
    r"UNAVAILABLE|DEADLINE_EXCEEDED|halted",
    re.IGNORECASE,
)


class Peers:
    """The processes of the job as seen from this one; enter it to take part.

    Attributes:
        steps: training steps this process has handed to its devices.
        doing: what it does, a few words.
    """

    def __init__(self) -> None:
        """Posts nothing before it is entered."""
        self.steps = 0
        self.doing = "starting"
        self.index, self.count = jax.process_index(), jax.process_count()
        self._board = processes.Board()
        self._beat = 0
        self._left = False
        self._notes: dict[int, dict[str, Any]] = {}
        self._changed: dict[int, float] = {}  # when a note was last another
        self._failures: dict[int, str] = {}
        self._answered = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="peers", daemon=True)

    def __enter__(self) -> Peers:
        """Starts posting."""
        if self.count > 1:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Says that this process leaves of its own accord."""
        self.leave()

    def leave(self) -> None:
        """The last note of this process; process 0 waits until the others read it.

        Does nothing the second time.
        """
        if self.count == 1 or self._left:
            return
        self._left = True
        self._stop.set()
        # The other thread may be waiting for an answer of a process 0 that is gone.
        last = threading.Thread(target=self._exchange, daemon=True)
        last.start()
        last.join(_BEAT_SECONDS)

    def linger(self) -> None:
        """Keeps the notes up until all others have left; for process 0 in trouble."""
        end = time.monotonic() + _LINGER_SECONDS
        while self.index == 0 and time.monotonic() < end:
            self._exchange()
            others = [i for i in self._notes if i != 0 and not self._notes[i]["left"]]
            if not [i for i in others if self._silent_for(i) < _BROKEN_SECONDS]:
                time.sleep(_FAREWELL_SECONDS)
                return
            time.sleep(0.2)

    def fail(self, reason: str) -> None:
        """Tells the others why this process ends."""
        if self.count > 1:
            post = threading.Thread(
                target=self._post, args=(f"failed/{self.index}", reason), daemon=True
            )
            post.start()
            post.join(2 * _BEAT_SECONDS)

    def trouble(self, silence_seconds: float = SILENCE_SECONDS) -> str | None:
        """What has happened to another process, in a sentence; None if nothing has."""
        if self.count == 1:
            return None
        for index, reason in sorted(self._failures.items()):
            if index != self.index:
                return f"{self.name(index)} failed: {reason}"
        waiting = time.monotonic() - self._answered
        if self.index and waiting > silence_seconds:
            return (
                f"{self.name(0)}, which coordinates the others, has not answered for "
                f"{waiting:.0f} s: it was killed or stopped, or the network is down"
            )
        for index, note in sorted(self._notes.items()):
            silent = self._silent_for(index)
            if index != self.index and not note["left"] and silent > silence_seconds:
                return (
                    f"{self.name(index)} has given no sign of life for {silent:.0f} s: "
                    "it was killed or stopped, or its machine is down"
                )
        return None

    def cause_of(self, error: BaseException) -> str | None:
        """Who is to blame for an error of this process; None: this process itself.

        Waits some seconds for the others' word.
        """
        if self.count == 1:
            return None
        broken = _COMMUNICATION.search(f"{type(error).__name__} {error}")
        ours = "stylegan_jax" in type(error).__module__
        if ours or not broken:
            return None
        end = time.monotonic() + _BROKEN_SECONDS + 2 * _BEAT_SECONDS
        while time.monotonic() < end:
            cause = self.trouble(_BROKEN_SECONDS)
            if cause:
                return cause
            time.sleep(0.2)
        first = (str(error).strip() or "no message").splitlines()[0][:200]
        return f"the connection to another process is broken ({first})"

    def laggards(self) -> list[int]:
        """Processes that have begun fewer steps than the furthest one."""
        steps = {i: note["steps"] for i, note in self._notes.items()}
        steps[self.index] = self.steps
        return [i for i, count in sorted(steps.items()) if count < max(steps.values())]

    def busy(self, usual: str) -> str | None:
        """Another process that does something else than `usual`, and what; or None."""
        for index, note in sorted(self._notes.items()):
            if index != self.index and not note["left"] and note["doing"] != usual:
                return f"{self.name(index)} is {note['doing']}"
        return None

    def name(self, index: int) -> str:
        """How a process is called in messages."""
        note = self._notes.get(index)
        where = f" (pid {note['pid']} on {note['host']})" if note else ""
        return f"process {index} of {self.count}{where}"

    def _silent_for(self, index: int) -> float:
        # Without an answer of process 0 nothing can be said about the others.
        return self._answered - self._changed[index]

    def _talk(self) -> None:
        while not self._stop.wait(_BEAT_SECONDS if self._beat else 0.0):
            self._exchange()

    def _post(self, name: str, note: Any) -> bool:
        try:
            self._board.post(name, note)
        except Exception:  # whatever the runtime raises when process 0 is gone
            return False
        return True

    def _exchange(self) -> None:
        self._beat += 1
        note = {
            "beat": self._beat,
            "steps": self.steps,
            "doing": self.doing,
            "host": platform.node(),
            "pid": os.getpid(),
            "left": self._left,
        }
        if not self._post(f"alive/{self.index}", note):
            return
        try:
            notes = self._board.read("alive/") | self._board.read("failed/")
        except Exception:
            return
        now = time.monotonic()
        for name, note in notes.items():
            kind, _, number = name.partition("/")
            index = int(number)
            if kind == "failed":
                self._failures[index] = note
            elif self._notes.get(index) != note:
                self._notes[index], self._changed[index] = note, now
        self._answered = now
