"""Training loop."""

import collections
import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from stylegan_jax.data import stream
from stylegan_jax.data.config import POINTS
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.distributed import parallel
from stylegan_jax.distributed.watchdog import Watchdog
from stylegan_jax.runs.checkpoint import Checkpoints
from stylegan_jax.training import adaptive, compiling, overfitting
from stylegan_jax.training import schedule as schedules
from stylegan_jax.training import start as starting
from stylegan_jax.training import state as states
from stylegan_jax.training.config import Config
from stylegan_jax.training.evaluation import Evaluator, criterion
from stylegan_jax.training.health import Monitor
from stylegan_jax.training.interrupt import StopSignal
from stylegan_jax.training.report import LogLines, Progress, Report, Reporter
from stylegan_jax.training.sample_grids import Samples
from stylegan_jax.training.schedule import TimeLeft, phases, shortfall
from stylegan_jax.training.state import TrainState
from stylegan_jax.training.ticks import Ticks
from stylegan_jax.training.transfer import Beginning

# Steps handed to the device before the loop waits for an older one. XLA's CPU
# backend deadlocks with some thirty collectives queued, and a short queue is enough.
_IN_FLIGHT = 2
# Step between the seeds of rollbacks, to avoid seeds that users choose.
_PRIME = 104_729


def train(
    config: Config,
    workdir: Path,
    *,
    mesh: Mesh | None = None,
    evaluators: Sequence[Evaluator] = (),
    watchdog: Watchdog | None = None,
    source: Source | None = None,
    change: bool = False,
    rollbacks: int = 0,
    beginning: Beginning | None = None,
    reporter: Callable[[Progress], Reporter] = LogLines,
) -> TrainState:
    """Trains the run in `workdir` until it is complete or stopped; returns the state.

    SIGTERM and Ctrl-C, in any process, save a checkpoint within a few steps and return.
    The same call resumes, bitwise as if uninterrupted.

    Args:
        config: the same in every process.
        workdir: only process 0 reads or writes it.
        mesh: all devices by default.
        evaluators: run on the averaged generator at checkpoints, and at the end.
        watchdog: gets a heartbeat of every step.
        source: the data of `config.data`, if it is open already.
        change: resume with settings that change the training (`start.FROM_HERE`).
        rollbacks: number so far (`recovery.py`); changes the seeds.
        beginning: trained networks that a new run begins from.
        reporter: shows progress.

    Raises:
        UserError: the data cannot be used, or the run was started differently.
        NonFiniteError, Unhealthy: training has failed; the latter allows a rollback.
    """
    mesh = mesh or parallel.make_mesh()
    source = source or open_source(config.data)
    best = criterion(config.metrics.best, evaluators)
    config = starting.prepare(workdir, config, source, mesh, beginning, change=change)
    model, run, final = config.model, config.run, config.model.resolution
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(workdir, config.checkpoint))
        watchdog = watchdog or stack.enter_context(Watchdog(run.stall_seconds))
        nimg, state, facts, scores = starting.restore_or_init(
            config, checkpoints, mesh, beginning
        )
        begun = facts.pop(starting.BEGUN, None)
        since_nimg = schedules.since(config.schedule, nimg, facts.get("schedule"))
        schedule = phases(config.schedule, final, since_nimg)
        end_nimg = schedule[-1].end_nimg if schedule else nimg
        time_left = TimeLeft(schedule, model).seconds
        report = Report(workdir, end_nimg, nimg, time_left, reporter)
        stack.enter_context(report)
        if short := shortfall(config.schedule, final):
            report.warn(short)
        stop = stack.enter_context(StopSignal(mesh))
        ticks = Ticks(
            config=config,
            mesh=mesh,
            end_nimg=end_nimg,
            schedule=schedules.record(config.schedule, since_nimg),
            rollbacks=rollbacks,
            checkpoints=checkpoints,
            watchdog=watchdog,
            stop=stop,
            report=report,
            samples=Samples(run, model, source, report.write_grid),
            health=Monitor(config.health, config.loss, nimg),
            evaluators=evaluators,
            observe=overfitting.observer(config, source, mesh),
            best=best,
            facts=facts,
        )
        if nimg == 0 or begun:
            report.note(begun or "")
            if config.data.name not in POINTS:
                report.note(adaptive.advice(config.augment, len(source)) or "")
            ticks.samples.write_reals()
        reseeding = _PRIME * rollbacks
        key = jax.random.fold_in(jax.random.key(run.seed + reseeding), 1)
        key = parallel.place(key, parallel.replicated(mesh))
        cache_bytes = int(config.data.cache_gb * 1e9)
        decoded = stream.Decoded(source, cache_bytes, config.data.dtype)
        ticks.evaluate_missed(nimg, state, scores)
        phase = None
        graph = (facts.get("resolution"), facts.get("alpha") is not None)
        stack.enter_context(compiling.memory_explained(lambda: phase))
        watchdog.begin()
        ahead = tuple(phase for phase in schedule if nimg < phase.end_nimg)
        if ahead:
            report.note(f"compiling {ahead[0].title}")
        for phase, train_step in compiling.steps_ahead(
            ahead, lambda phase: compiling.compile_step(config, phase, mesh), stop.wait
        ):
            size = phase.resolution
            report.begin_phase(phase.title, size, run.tick_kimg.at(size))
            changed, graph = graph, (size, phase.fading)
            if changed != graph and config.schedule.reset_optimizers:
                state = states.reset_optimizers(state, config.optimizer)
                state = states.place(state, mesh, spread=run.shard_state)
            ticks.health.new_phase()
            watchdog.new_phase()
            in_flight = collections.deque()
            batches = stream.batches(
                decoded,
                resolution=size,
                repeats=phase.minibatches,
                batch_size=phase.batch_size,
                start_nimg=nimg,
                seed=config.data.seed + reseeding,
                mirror=config.data.mirror,
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            )
            with contextlib.closing(batches):
                while nimg < phase.end_nimg and not stop.agreed:
                    batch = parallel.put_batch(next(batches), mesh, axis=1)
                    state, metrics = train_step(state, batch, key)
                    nimg += phase.step_nimg
                    report.defer(nimg, metrics)
                    in_flight.append(metrics)
                    if len(in_flight) > _IN_FLIGHT:
                        jax.block_until_ready(in_flight.popleft())
                    watchdog.step()
                    stop.agree()
                    ticks.after_step(nimg, state, phase)
                watchdog.begin()
            if stop.agreed:
                break
        if stop.agreed:
            if nimg > checkpoints.last_nimg:  # it came while the next step compiled
                checkpoints.save(nimg, state, ticks.facts)
            name = signal.Signals(stop.agreed).name
            done = f"saved at {nimg / 1000:.3f} kimg" if nimg else "nothing to save yet"
            report.note(f"{name}: {done}; the same command continues")
        elif short:
            report.warn(short)
    return state
