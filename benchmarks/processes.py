"""Steps in processes of their own, so that each one's peak of memory is its own.

The peak is of resident memory: Python, JAX and XLA's compiler included.
"""

import contextlib
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    figures = {"seconds": seconds, "start_seconds": begun, "peak_mib": peak / 2**20}
    print(json.dumps(figures))


def run(module: str, options: Sequence[str]) -> report.Row:
    """Runs `python -m module`, which ends in `measure`, and returns its figures.

    Raises:
        CalledProcessError: the process failed.
    """
    command = [sys.executable, "-m", module, *options, "--started", str(time.time())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
