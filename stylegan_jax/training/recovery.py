"""Training with rollback to a healthy checkpoint."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import jax

from stylegan_jax.distributed import processes
from stylegan_jax.errors import AgreedError, UserError
from stylegan_jax.io import locks, records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.runs import retention, run_directory, stored
from stylegan_jax.training import loop
from stylegan_jax.training.config import Config
from stylegan_jax.training.health import Unhealthy
from stylegan_jax.training.report import NonFiniteError
from stylegan_jax.training.state import TrainState

_log = logging.getLogger(__name__)


def train(config: Config, workdir: Path, **options: Any) -> TrainState:
    """As `loop.train`, with up to `health.rollbacks` rollbacks when training fails.

    `options` are those of `loop.train`. A rollback renames the checkpoints since
    `unhealthy_...` and resumes with another seed. `rollbacks.json` lists them, so that
    a resumed run keeps its seed. `workdir` is locked; UserError if another process
    trains there, or no healthy checkpoint is left.
    """
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            run_directory.changes(workdir, config)  # refuses what is no run directory
            lock = workdir / run_directory.LOCK
            stack.enter_context(locks.held(lock, str(workdir)))
        while True:
            past = str(len(_read(workdir))).encode()
            count = int(processes.broadcast(past))
            try:
                return loop.train(config, workdir, rollbacks=count, **options)
            except (Unhealthy, NonFiniteError) as error:
                if count >= config.health.rollbacks:
                    raise NonFiniteError(f"{error}. {_advice(config)}") from error
                # Only process 0 sees the checkpoints.
                first = jax.process_index() == 0
                refusal = _roll_back(workdir, error) if first else ""
                if refusal := processes.broadcast(refusal.encode()).decode():
                    raise AgreedError(refusal) from error


def _roll_back(workdir: Path, error: UserError) -> str:
    """Rolls back; returns why it cannot, or ""."""
    limit = error.healthy_nimg if isinstance(error, Unhealthy) else None
    steps = stored.step_directories(workdir / "checkpoints")
    healthy = [step for step in steps if limit is None or step[0] <= limit]
    if not healthy:
        return (
            f"{error}; there is no checkpoint from before it to go back to: keep more "
            "(checkpoint.keep_last) or write them more often (checkpoint.every_kimg)"
        )
    for _, path in steps[: len(steps) - len(healthy)]:
        retention.set_aside(path, "unhealthy")
    nimg = healthy[0][0]
    past = [*_read(workdir), {"to_nimg": nimg, "because": str(error)}]
    atomic_write(workdir / "rollbacks.json", json.dumps(past, indent=2) + "\n")
    _log.warning(
        "%s; going back to %.3f kimg with another seed (%d of health.rollbacks)",
        error,
        nimg / 1000,
        len(past),
    )
    return ""


def _advice(config: Config) -> str:
    """Advice on resuming after numbers became infinite."""
    gamma = config.loss.resolved().r1_gamma
    penalty = f", or a higher `loss.r1_gamma` (it is {gamma:g})" if gamma else ""
    return (
        "The same command with `change` and a lower `optimizer.learning_rate` (it is "
        f"{config.optimizer.learning_rate}){penalty} goes on from there"
    )


def _read(workdir: Path) -> list[dict[str, Any]]:
    """Rollbacks so far; [] in the other processes."""
    path = workdir / "rollbacks.json"
    if jax.process_index() != 0 or not os.path.lexists(path):
        return []
    way_on = (
        "its length is the number of times that training went back, and chooses the "
        "seeds: restore it, or write [] there if it never did"
    )
    return records.read(path, [{}], way_on=way_on, inside=workdir)
