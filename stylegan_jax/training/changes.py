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
    stored = run_directory.read_config(workdir)
    old = stored["data"].get("path")
    if old and str(Path(old).expanduser().absolute()) == config.data.path:
        found.pop("data.path", None)  # relative, of an older version
    rest = {name: x for name, x in found.items() if not matches(name, FREE)}
    network = [x for name, x in rest.items() if not matches(name, FROM_HERE)]
    before = f"{workdir} was trained with other values (stored -> given):\n  "
    if network:
        raise UserError(
            before
            + "\n  ".join(network)
            + "\nthese make another network: give the stored values to continue this "
            f"run, or `workdir` NEW `init` {workdir} for a new one from its networks"
        )
    if rest and not change:
        raise UserError(
            before + "\n  ".join(rest.values()) + "\n`change` trains on with the new "
            "ones from its last checkpoint; give the stored values to continue as "
            f"before, or `workdir` NEW `init` {workdir} for a new run from its networks"
        )
    if any(f"schedule.{name}" in found for name in _GROWING):
        growing = {name: stored["schedule"][name] for name in _GROWING}
        schedules = (ScheduleConfig(**growing), config.schedule)
        final = config.model.resolution
        size, new_size = (resolution_at(x, final, nimg) for x in schedules)
        if new_size < size:
            raise UserError(
                f"{workdir} has grown to {size} px, and with these schedule.initial_"
                f"resolution, stable_kimg and fade_kimg it would be at {new_size} px "
                f"after {nimg / 1000:g} kimg; give smaller ones, or another `workdir`"
            )
    return found


def after_divergence(config: Config) -> str:
    """Advice on resuming after numbers became infinite."""
    rate = config.optimizer.learning_rate
    slower = _scaled(rate, 0.5)
    text = (
        "The same command with `optimizer.learning_rate` "
        f"{slower} `change` goes on from there at half the rate"
    )
    gamma = config.loss.resolved().r1_gamma
    if gamma:
        text += f", with `loss.r1_gamma` {2 * gamma:g} `change` at twice the penalty"
    return text


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
    size, parts, at = phase.batch_size, phase.accumulate, phase.resolution

    def usable(size: int, parts: int) -> bool:
        other = dataclasses.replace(phase, batch_size=size, accumulate=parts)
        return not part_problem(config.model, other, devices)

    more = [n for n in range(parts + 1, size + 1) if size % n == 0 and usable(size, n)]
    if more:
        table = _with(config.schedule.accumulate, at, more[0])
        found.append(f"`schedule.accumulate` {table} `change`")
    less = [n for n in range(size // 2, 0, -1) if n % parts == 0 and usable(n, parts)]
    if less:
        table = _with(config.schedule.batch_size, at, less[0])
        found.append(f"`schedule.batch_size` {table} `change`")
    return found or ["another machine: no flag"]


def _with(table: ByResolution[int], resolution: int, value: int) -> ByResolution[int]:
    exceptions = dict(table.exceptions) | {resolution: value}
    return ByResolution(table.default, tuple(exceptions.items()))


def _scaled(table: ByResolution[float], factor: float) -> ByResolution[float]:
    exceptions = tuple((size, value * factor) for size, value in table.exceptions)
    return ByResolution(table.default * factor, exceptions)
