"""Settings that may change on resume, and flags suggested after failures.

`FREE` ones change time, memory and what is kept, not the training. `FROM_HERE` ones
change the training from here on, and need `change`. The rest make another network, and
need a new run.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.errors import UserError
from stylegan_jax.runs import provenance, run_directory
from stylegan_jax.runs.provenance import matches
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import Phase, ScheduleConfig, resolution_at
from stylegan_jax.training.step import part_problem

FREE = (
    "schedule.total_kimg",  # moves the end only
    "checkpoint.*",
    "health.*",
    "metrics.*",
    "data.cache_gb",
    "data.path",  # the data may have been moved; other images are noticed
    "model.remat",
    "run.tick_kimg*",
    "run.grid_*",
    "run.shard_state",
    "run.stall_seconds",
)
FROM_HERE = (
    *("optimizer.learning_rate", "optimizer.d_rate", "optimizer.beta2"),
    *("optimizer.epsilon", "optimizer.ema_kimg", "optimizer.w_avg_beta"),
    "optimizer.freeze_d",
    *("loss.*", "augment.*", "data.*", "schedule.*"),
    *("model.dtype", "run.matmul_precision", "run.seed"),
)
_GROWING = ("initial_resolution", "stable_kimg", "fade_kimg")


def check(workdir: Path, config: Config, *, change: bool) -> dict[str, str]:
    """Differences from the stored configuration, `name: before -> after`, by name.

    `config` is fitted to the data; `change` allows `FROM_HERE`. Raises UserError that
    names every setting that may not change, or if `workdir` is no run directory.
    """
    found = provenance.changes(workdir, config)
    nimg = run_directory.shown(workdir)
    if not found or nimg is None:
        return found
    rest = {name: x for name, x in found.items() if not matches(name, FREE)}
    network = [x for name, x in rest.items() if not matches(name, FROM_HERE)]
    if network or (rest and not change):
        way = (
            "these make another network: give the stored values to continue this run"
            if network
            else "`change` trains on with the new ones from its last checkpoint; give "
            "the stored values to continue as before"
        )
        listed = "\n  ".join(network or rest.values())
        raise UserError(
            f"{workdir} was trained with other values (stored -> given):\n  {listed}\n"
            f"{way}, or `workdir` NEW `init` {workdir} for a new run from its networks"
        )
    if any(f"schedule.{name}" in found for name in _GROWING):
        stored = run_directory.read_config(workdir)["schedule"]
        before = ScheduleConfig(**{name: stored[name] for name in _GROWING})
        final = config.model.resolution
        size, new = (resolution_at(x, final, nimg) for x in (before, config.schedule))
        if new < size:
            raise UserError(
                f"{workdir} has grown to {size} px, and with these schedule.initial_"
                f"resolution, stable_kimg and fade_kimg it would be at {new} px after "
                f"{nimg / 1000:g} kimg; give smaller ones, or another `workdir`"
            )
    return found


def after_divergence(config: Config) -> str:
    """Advice on resuming after numbers became infinite."""
    rate = config.optimizer.learning_rate
    lower = tuple((size, value / 2) for size, value in rate.exceptions)
    text = (
        "The same command with `optimizer.learning_rate` "
        f"{ByResolution(rate.default / 2, lower)} `change` goes on from there at half "
        "the rate"
    )
    gamma = config.loss.resolved().r1_gamma
    twice = f", with `loss.r1_gamma` {2 * (gamma or 0):g} `change` at twice the penalty"
    return text + twice if gamma else text


@contextlib.contextmanager
def memory_explained(
    config: Config, phase: Callable[[], Phase | None], devices: int
) -> Iterator[None]:
    """Turns device memory exhaustion in the block into a UserError with flags."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        now = phase()
        if "RESOURCE_EXHAUSTED" not in str(error) or now is None:
            raise
        flags, text = _leaner(config, now, devices), str(error).splitlines()[0][:200]
        raise UserError(
            f"out of device memory at {now.title} ({text}); the same command with "
            f"{' or '.join(flags)} takes less"
        ) from error


def _leaner(config: Config, phase: Phase, devices: int) -> list[str]:
    found = [] if config.model.remat else ["`model.remat`"]
    size, parts = phase.batch_size, phase.accumulate
    values = {
        "accumulate": [n for n in range(parts + 1, size + 1) if size % n == 0],
        "batch_size": [n for n in range(size // 2, 0, -1) if n % parts == 0],
    }
    for name, candidates in values.items():
        table = getattr(config.schedule, name)
        for value in candidates:
            leaner = dataclasses.replace(phase, **{name: value})
            if not part_problem(config.model, leaner, devices):
                exceptions = dict(table.exceptions) | {phase.resolution: value}
                table = ByResolution(table.default, tuple(exceptions.items()))
                found.append(f"`schedule.{name}` {table} `change`")
                break
    return found or ["another machine: no flag"]
