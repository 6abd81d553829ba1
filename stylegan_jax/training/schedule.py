"""Schedule of progressive growing, as a list of phases.

A phase has one graph: one resolution, stable or fading in. Progress is counted in
`nimg`, real images shown so far; a call of the training step is `repeats` minibatches.

Source: `training_schedule` and the main loop, NVlabs/stylegan, `training_loop.py`.
As there, a fade starts with the first call strictly after its nominal start and ends
with the first call at which the new resolution would have its full weight.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jax import Array

from stylegan_jax.by_resolution import ByResolution, take_plain_values
from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.limits import require_not_negative, require_positive
from stylegan_jax.networks.config import ModelConfig, check_resolution


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Progressive growing, in thousands of real images shown (kimg).

    The defaults are the official ones for 8 GPUs.
    """

    initial_resolution: int = 8  # equal to model.resolution: no growing
    stable_kimg: float = 600  # at each resolution, after its fade-in
    fade_kimg: float = 600  # blending the next resolution in
    total_kimg: float = 25_000
    repeats: int = 4  # minibatches per call of the step, under one alpha
    d_steps: int = 1  # minibatches for the discriminator per one for the generator
    batch_size: ByResolution[int] = ByResolution(
        32, ((4, 512), (8, 256), (16, 128), (32, 64))
    )
    accumulate: ByResolution[int] = ByResolution(1)  # parts of a minibatch, in turn
    reset_optimizers: bool = True  # forget Adam's moments at every change of graph

    def __post_init__(self) -> None:
        take_plain_values(self)
        check_resolution("schedule.initial_resolution", self.initial_resolution, low=1)
        require_not_negative(self, "schedule", "stable_kimg", "fade_kimg")
        names = ("total_kimg", "repeats", "d_steps", "batch_size", "accumulate")
        require_positive(self, "schedule", *names)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A span of training with one graph; hashable, so it can key compiled steps."""

    resolution: int  # pixels
    fading: bool  # this resolution is being blended in
    start_nimg: int
    end_nimg: int  # of the last call's end
    batch_size: int  # images per minibatch, over all devices
    accumulate: int
    repeats: int
    fade_start_nimg: float  # nominal; alpha is 0 here ...
    fade_nimg: float  # ... and 1 after this many more images
    d_steps: int = 1  # minibatches for the discriminator per one for the generator

    @property
    def minibatches(self) -> int:
        """Minibatches of real images per call of the training step."""
        return self.repeats * self.d_steps

    @property
    def step_nimg(self) -> int:
        """Images per call of the training step."""
        return self.minibatches * self.batch_size

    @property
    def title(self) -> str:
        """Title such as `32 px, fading in`."""
        return f"{self.resolution} px" + (", fading in" if self.fading else "")

    def alpha(self, nimg: Array) -> Array | None:
        """Weight of the new resolution: a float32 scalar, None when stable."""
        if not self.fading:
            return None
        whole = int(self.fade_start_nimg)  # float32 would round large counts
        offset = jnp.asarray(nimg - whole, jnp.float32)
        offset = offset - (self.fade_start_nimg - whole)
        return jnp.clip(offset / self.fade_nimg, 0.0, 1.0)

    def alpha_at(self, nimg: int) -> float | None:
        """`alpha` on the host."""
        if not self.fading:
            return None
        return min((nimg - self.fade_start_nimg) / self.fade_nimg, 1.0)


def phases(
    config: ScheduleConfig, final_resolution: int, start_nimg: int = 0
) -> tuple[Phase, ...]:
    """The phases of a run, without gaps, from `start_nimg` on.

    Raises UserError if the run starts above the final resolution, or a minibatch cannot
    be cut into its parts.
    """
    if config.initial_resolution > final_resolution:
        raise UserError(
            f"schedule.initial_resolution {config.initial_resolution} is above "
            f"model.resolution {final_resolution}"
        )
    result: list[Phase] = []
    nimg, total_nimg = start_nimg, config.total_kimg * 1000
    for resolution, fading, fade_start, end in _spans(config, final_resolution):
        if nimg >= total_nimg:
            break
        batch_size = config.batch_size.at(resolution)
        accumulate = config.accumulate.at(resolution)
        if batch_size % accumulate:
            raise UserError(
                f"schedule.batch_size {batch_size} at {resolution} px is not a "
                f"multiple of schedule.accumulate {accumulate}"
            )
        step_nimg = config.repeats * config.d_steps * batch_size
        # A fade ends at its nominal end, but begins strictly after its start.
        calls = math.ceil((total_nimg - nimg) / step_nimg)
        if end < math.inf:
            nominal = (end - nimg) / step_nimg
            late = not fading and config.fade_kimg > 0
            limit = math.floor(nominal) + 1 if late else math.ceil(nominal)
            calls = min(calls, limit)
        if calls > 0:
            phase = Phase(
                resolution=resolution,
                fading=fading,
                start_nimg=nimg,
                end_nimg=nimg + calls * step_nimg,
                batch_size=batch_size,
                accumulate=accumulate,
                repeats=config.repeats,
                fade_start_nimg=fade_start,
                fade_nimg=config.fade_kimg * 1000,
                d_steps=config.d_steps,
            )
            result.append(phase)
            nimg = phase.end_nimg
    return tuple(result)


def resolution_at(config: ScheduleConfig, final_resolution: int, nimg: int) -> int:
    """The nominal resolution after `nimg` images, of a fade the higher one."""
    spans = _spans(config, final_resolution)
    return next(resolution for resolution, _, _, end in spans if nimg < end)


def shortfall(config: ScheduleConfig, final_resolution: int) -> str | None:
    """A warning if the run ends before the networks have grown, else None."""
    last = phases(config, final_resolution)[-1]
    doublings = math.log2(final_resolution / config.initial_resolution)
    needed = doublings * (config.stable_kimg + config.fade_kimg)
    if last.end_nimg >= needed * 1000:
        return None
    return (
        f"the run ends at {last.end_nimg / 1000:g} kimg with {last.title}, below "
        f"model.resolution {final_resolution}: that takes `schedule.total_kimg` "
        f"{needed:g} or more (or shorter schedule.stable_kimg and fade_kimg)"
    )


def record(config: ScheduleConfig, since_nimg: int) -> dict[str, Any]:
    """Schedule for a checkpoint: the settings, and where they began."""
    settings = records.to_json(config)
    del settings["total_kimg"]  # moves the end only
    return {"since_nimg": since_nimg, "settings": settings}


def since(config: ScheduleConfig, nimg: int, recorded: Any) -> int:
    """Start of a resumed run's schedule: `nimg` if it is another than `recorded`."""
    if not isinstance(recorded, dict):
        return 0
    begun = recorded.get("since_nimg")
    if type(begun) is not int or not 0 <= begun <= nimg:
        return nimg
    return begun if recorded == record(config, begun) else nimg


def _spans(
    config: ScheduleConfig, final_resolution: int
) -> Iterator[tuple[int, bool, float, float]]:
    """Yields (resolution, fading, nominal fade start, nominal end) in images."""
    resolution, start = config.initial_resolution, 0.0
    while resolution < final_resolution:
        fade_start = start + config.stable_kimg * 1000
        yield resolution, False, start, fade_start
        start = fade_start + config.fade_kimg * 1000
        resolution *= 2
        yield resolution, True, fade_start, start
    yield final_resolution, False, start, math.inf


def work(model: ModelConfig, resolution: int) -> float:
    """Multiplications per image in convolutions and dense layers, up to a factor."""
    if model.mlp_layers:
        return 1.0
    total = float(model.mapping_layers * model.mapping_width**2)
    for size in (x for x in model.resolutions if x <= resolution):
        here, below = model.channels(size), model.channels(max(size // 2, 4))
        total += 9 * size**2 * here * (here + below)
    return total


@dataclasses.dataclass
class TimeLeft:
    """Seconds until a run is complete, from the speeds so far."""

    schedule: tuple[Phase, ...]  # all of it
    model: ModelConfig
    rates: dict[int, float] = dataclasses.field(default_factory=dict)  # by resolution

    def seconds(
        self, nimg: int, resolution: int | None, rate: float | None
    ) -> float | None:
        """Seconds left after `nimg` images, at `rate` images per second, if known.

        Later resolutions are extrapolated by `work` from the highest one measured.
        """
        if rate and resolution is not None:
            self.rates[resolution] = rate
        if not self.rates:
            return None
        seconds, highest = 0.0, max(self.rates)
        for phase in self.schedule:
            images = phase.end_nimg - max(nimg, phase.start_nimg)
            more = work(self.model, phase.resolution) / work(self.model, highest)
            known = self.rates.get(phase.resolution, self.rates[highest] / more)
            seconds += max(images, 0) / known
        return seconds
