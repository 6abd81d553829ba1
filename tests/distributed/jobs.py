"""Jobs of several processes on this machine, started quickly.

Importing JAX, Orbax and the rest takes seconds, running a job of the tests less than
one. So one process imports them, and forks the processes of all jobs before any of
them has touched a device.
"""

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0  # seconds, on a busy machine


@dataclasses.dataclass
class Process:
    """A process of a job."""

    pid: int
    log: Path
    status: Path  # written by the server when it has ended

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    @property
    def ended(self) -> bool:
        return self.status.exists()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Exit status, negative for a signal."""
        end = time.monotonic() + timeout
        while not self.ended:
            assert time.monotonic() < end, f"still running:\n{self.output()}"
            time.sleep(0.02)
        return int(self.status.read_text())

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


class Server:
    """Forks processes that run `stylegan_jax.train`, or another command."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder, self._jobs = folder, 0
        self.own_cache = folder / "cache"  # STYLEGAN_JAX_CACHE of the processes
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "NPROC": "16",
            "XLA_FLAGS": "--xla_backend_optimization_level=0"
            " --xla_llvm_disable_expensive_passes=true",
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "STYLEGAN_JAX_CACHE": str(self.own_cache),
            "PYTHONPATH": str(ROOT),
        }
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def train(
        self,
        words: list,
        *,
        processes: int = 1,
        devices: int = 1,
        fault: dict | None = None,
        odd: list | None = None,
        slurm: bool = False,
        command: str = "train",
    ) -> list[Process]:
        """Starts a job.

        Args:
            words: the recipe and the flags.
            processes: how many.
            devices: of each.
            fault: `{"rank", "nimg", "what"}`, see `_arrange`.
            odd: more flags for the last process only.
            slurm: tell the processes of each other as SLURM does, not by flags.
            command: which; imported when it is started, if it is not `train`.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._jobs += 1
        job = []
        for rank in range(processes):
            log = self._folder / f"job{self._jobs}.{rank}.log"
            own, environment = [], {}
            if slurm:
                own = ["--distributed", "auto"]
                environment = {
                    "SLURM_JOB_ID": "1234",
                    "SLURM_STEP_NODELIST": "localhost",
                    "SLURM_NTASKS": str(processes),
                    "SLURM_PROCID": str(rank),
                    "SLURM_LOCALID": str(rank),
                    "JAX_COORDINATOR_PORT": str(port),
                }
            elif processes > 1:
                own = ["--coordinator", f"127.0.0.1:{port}"]
                own += ["--num-processes", processes, "--process-id", rank]
                own += (odd or []) if rank == processes - 1 else []
            order = {
                "command": command,
                "argv": [str(word) for word in [*words, *own]],
                "devices": devices,
                "environment": environment,
                "log": str(log),
                "fault": fault if fault and fault["rank"] == rank else None,
            }
            self._server.stdin.write(json.dumps(order) + "\n")
            self._server.stdin.flush()
            pid = int(self._server.stdout.readline())
            job.append(Process(pid, log, log.with_suffix(".status")))
        return job

    def close(self) -> None:
        """Ends the server, and with it nothing else."""
        self._server.stdin.close()
        self._server.wait(PATIENCE)
        self._server.stdout.close()


def end(job: list[Process]) -> None:
    """Kills what still runs."""
    for process in job:
        if not process.ended:
            with contextlib.suppress(ProcessLookupError):
                process.send(signal.SIGKILL)
            process.wait()


def finished(job: list[Process]) -> list[Process]:
    """The job, once all of its processes have succeeded."""
    for process in job:
        assert process.wait() == 0, process.output()
    return job


def contents(workdir: Path) -> tuple[int, dict]:
    """Image count and arrays of the newest checkpoint, checked against its CRCs."""
    from stylegan_jax.runs import stored

    (nimg, path), *_ = stored.step_directories(workdir / "checkpoints")
    return nimg, stored.read_step(nimg, path).leaves


def serve() -> None:
    """Reads orders, a JSON line each, forks, and answers with process numbers."""
    from stylegan_jax.commands import running as program
    from stylegan_jax.commands import train

    assert train  # imported before anything is forked
    running: dict[int, str] = {}
    while True:
        ready = select.select([sys.stdin], [], [], 0.05)[0]
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            path = Path(running.pop(pid)).with_suffix(".status")
            temporary = path.with_suffix(".part")
            temporary.write_text(str(os.waitstatus_to_exitcode(status)))
            temporary.rename(path)
        if not ready:
            continue
        line = sys.stdin.readline()
        if not line:
            return
        order = json.loads(line)
        pid = os.fork()
        if pid:
            running[pid] = order["log"]
            print(pid, flush=True)
            continue
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(order["environment"])
        import jax

        jax.config.update("jax_num_cpu_devices", order["devices"])
        if order["fault"]:
            _arrange(Path(order["log"]).with_suffix(".fault"), **order["fault"])
        command = importlib.import_module(f"stylegan_jax.commands.{order['command']}")
        program.run_main(functools.partial(command.main, order["argv"]))


def _arrange(mark: Path, rank: int, nimg: int, what: str) -> None:
    """Makes something happen after the step that reaches an image count.

    Then there is a file `mark`.
    """
    from stylegan_jax.training.report import Report

    plain = Report.defer

    def defer(self, count, metrics):
        plain(self, count, metrics)
        if count != nimg:
            return
        mark.touch()
        if what == "raise":
            raise RuntimeError("the disk of this machine is on fire")
        if what == "hang":
            time.sleep(1000)
        os.kill(os.getpid(), getattr(signal, what))

    Report.defer = defer


if __name__ == "__main__":
    serve()
