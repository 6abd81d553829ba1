"""Steps in processes of their own, so that each one's peak of memory is its own.

The peak is of resident memory: Python, JAX and XLA's compiler included.
"""

import contextlib
import io
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report

_UNIT = 1024 if sys.platform != "darwin" else 1  # of `ru_maxrss`, in bytes


def measure(prepare: Callable[[], Callable[[], Any]], started: float) -> None:
    """Runs one step in this process and prints its figures as JSON.

    Args:
        prepare: does what must not be timed and returns the rest.
        started: when the process was, as `time.time()`.
    """
    begun = time.time() - started
    step = prepare()
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        step()
    seconds = time.perf_counter() - start
    figures = {"seconds": seconds, "start_seconds": begun, "peak_mib": _peak_mib()}
    print(json.dumps(figures))


def _peak_mib() -> float:
    """The most memory this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # `ru_maxrss` also counts the process that forked this one.
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if peak:
            return int(peak[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 2**20


def run(module: str, options: Sequence[str]) -> report.Row:
    """Runs `python -m module`, which ends in `measure`, and returns its figures.

    Raises:
        CalledProcessError: the process failed.
    """
    command = [sys.executable, "-m", module, *options, "--started", str(time.time())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
