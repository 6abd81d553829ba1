"""Settings that may change on resume, and flags suggested after failures.

`FREE` ones change time, memory and what is kept, not the training. `FROM_HERE` ones
change the training from here on, and need `change`. The rest make another network, and
need a new run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from stylegan_jax.errors import UserError
from stylegan_jax.runs import run_directory
from stylegan_jax.runs.run_directory import matches
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import Phase, ScheduleConfig, resolution_at

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
    found = run_directory.changes(workdir, config)
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
    gamma = config.loss.resolved().r1_gamma
    penalty = f", or a higher `loss.r1_gamma` (it is {gamma:g})" if gamma else ""
    return (
        "The same command with `change` and a lower `optimizer.learning_rate` (it is "
        f"{config.optimizer.learning_rate}){penalty} goes on from there"
    )


@contextlib.contextmanager
def memory_explained(phase: Callable[[], Phase | None]) -> Iterator[None]:
    """Turns device memory exhaustion in the block into a UserError with flags."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        now = phase()
        if "RESOURCE_EXHAUSTED" not in str(error) or now is None:
            raise
        raise UserError(
            f"out of device memory at {now.title} ({str(error).splitlines()[0][:200]});"
            " the same command takes less with `model.remat`, or with `change` and a "
            f"smaller `schedule.batch_size` (here {now.batch_size}) or a larger "
            f"`schedule.accumulate` (here {now.accumulate}) at this resolution"
        ) from error
