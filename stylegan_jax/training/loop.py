"""The training loop: phases, steps, and what is kept of them, in order."""

import collections
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from stylegan_jax.data import stream
from stylegan_jax.data.config import POINTS
from stylegan_jax.data.decoded_cache import DecodedSource
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.distributed import parallel, processes
from stylegan_jax.distributed.watchdog import Watchdog
from stylegan_jax.io import records
from stylegan_jax.runs import run_directory
from stylegan_jax.runs.checkpoint import Checkpoints
from stylegan_jax.training import adaptive as augmentation
from stylegan_jax.training import (
    changes,
    compiling,
    preflight,
    sample_grids,
    transfer,
)
from stylegan_jax.training.beginning import (
    BEGUN,
    placed,
    reseeded,
    restore_or_init,
    saved_generator,
)
from stylegan_jax.training.changes import memory_explained
from stylegan_jax.training.config import Config
from stylegan_jax.training.evaluation import Evaluation, Evaluator, criterion
from stylegan_jax.training.health import Monitor
from stylegan_jax.training.interrupt import StopSignal
from stylegan_jax.training.schedule import Phase, phases, record, shortfall, since
from stylegan_jax.training.state import TrainState, generator_of, reset_optimizers
from stylegan_jax.training.step import Metrics
from stylegan_jax.training.time_left import TimeLeft
from stylegan_jax.training.transfer import Beginning
from stylegan_jax.training.writer import Writer

# Steps handed to the device before the loop waits for an older one. XLA's CPU
# backend deadlocks with some thirty collectives queued, and a short queue is enough.
_IN_FLIGHT = 2


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
) -> TrainState:
    """Trains, or continues, the run in `workdir` until it is complete or stopped.

    SIGTERM and Ctrl-C, in any process, save a checkpoint after the step under way (or
    one of the next, so that all processes take the same) and return. The same call
    later continues, bitwise as if it had never stopped.

    Args:
        config: the whole configuration; the same in every process.
        workdir: the run directory; only process 0 reads or writes it.
        mesh: the devices; all of them by default.
        evaluators: run on the averaged generator at checkpoints, and at the end.
        watchdog: is told of every step; a new one by default.
        source: the data of `config.data`, if it is open already.
        change: go on with settings that change the training (`changes.FROM_HERE`).
        beginning: trained networks that a new run begins from (`transfer.py`).
        rollbacks: how often the run went back (`recovery.py`); changes the seeds.

    Returns:
        The state, on the devices.

    Raises:
        UserError: the data cannot be used, the run was started differently, or no
            evaluator gives the score that is to choose the best checkpoint.
        NonFiniteError: training has diverged.
        Unhealthy: it is lost otherwise, and may still go back.
    """
    mesh = mesh or parallel.make_mesh()
    source = source or open_source(config.data)
    config = preflight.check(config, source, mesh.size)
    processes.require_same(
        "configuration and data", [records.to_json(config), source.name, len(source)]
    )
    best = criterion(config.metrics.best, evaluators)
    if jax.process_index() == 0:
        changed = changes.check(workdir, config, change=change)
        if run_directory.shown(workdir) is None:
            transfer.check_frozen(config, beginning)
        run_directory.begin(
            workdir,
            config,
            source,
            devices=[str(device) for device in mesh.devices.flat],
            resolution=config.model.resolution,
            changed=changed,
        )
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(workdir, config.checkpoint))
        if watchdog is None:
            watchdog = stack.enter_context(Watchdog(config.run.stall_seconds))
        nimg, restored, facts, scores = restore_or_init(
            config, checkpoints, mesh, beginning
        )
        state: TrainState = restored
        del restored  # its buffers are the step's to overwrite
        since_nimg = since(config.schedule, nimg, facts.get("schedule"))
        schedule = phases(config.schedule, config.model.resolution, since_nimg)
        total_nimg = schedule[-1].end_nimg if schedule else nimg
        time_left = TimeLeft(schedule, config.model)
        writer = stack.enter_context(
            Writer(
                workdir,
                total_nimg / 1000,
                restored_nimg=nimg,
                time_left=time_left.seconds,
            )
        )
        short = shortfall(config.schedule, config.model.resolution)
        if short:
            writer.warn(short)
        stop = stack.enter_context(StopSignal())
        ballot, stopping = processes.Ballot(mesh), 0
        health = Monitor(config.health, config.loss, nimg)
        evaluation = Evaluation(evaluators, best, checkpoints, writer, stop)
        draw = sample_grids.make_draw(config.run, config.model, source)
        reals = sample_grids.grid_of_reals(config.run, source, config.model.resolution)
        if begun := facts.pop(BEGUN, None):
            writer.note(begun)
        if nimg == 0 or begun:
            few = augmentation.advice(config.augment, len(source))
            if few and config.data.name not in POINTS:
                writer.note(few)
            writer.write_grid("reals", 0, reals)
        config = reseeded(config, rollbacks)
        key = jax.random.fold_in(jax.random.key(config.run.seed), 1)
        key = parallel.place(key, parallel.replicated(mesh))
        images = DecodedSource(source, config.data.cache_bytes, config.data.dtype)
        ticks = 0
        missed = evaluation.missed(facts, scores)
        if missed:
            watchdog.pause()
            generator = saved_generator(state, config.model, facts)
            generator = parallel.copy_everywhere(generator, mesh)
            evaluation.run(missed, nimg, generator)

        phase: Phase | None = None
        graph = (facts.get("resolution"), facts.get("alpha") is not None)
        stack.enter_context(memory_explained(config, lambda: phase, mesh.size))
        watchdog.begin()

        def wait(compiled: Callable[[], bool]) -> bool:
            """Until all have compiled, or one has to leave."""
            nonlocal stopping
            while not (compiled() or stop.requested):
                time.sleep(0.05)
            stopping = processes.largest(stop.number)
            return not stopping

        ahead = tuple(phase for phase in schedule if nimg < phase.end_nimg)
        if ahead:
            writer.note(f"compiling {ahead[0].title}")
        for phase, train_step in compiling.StepsAhead(config, ahead, mesh, wait):
            writer.begin_phase(
                nimg,
                title=phase.title,
                resolution=phase.resolution,
                tick_kimg=config.run.tick_kimg.at(phase.resolution),
            )
            changed, graph = graph, (phase.resolution, phase.fading)
            if changed != graph and config.schedule.reset_optimizers:
                state = placed(reset_optimizers(state, config.optimizer), config, mesh)
            health.new_phase()
            watchdog.new_phase()
            batches = stack.enter_context(open_batches(config, images, phase, nimg))
            in_flight: collections.deque[Metrics] = collections.deque()

            while nimg < phase.end_nimg and not stopping:
                batch = parallel.put_batch(next(batches), mesh, axis=1)
                state, metrics = train_step(state, batch, key)
                nimg += phase.step_nimg
                writer.defer(nimg, metrics)
                in_flight.append(metrics)
                if len(in_flight) > _IN_FLIGHT:
                    jax.block_until_ready(in_flight.popleft())
                watchdog.step()
                stopping = ballot.cast(stop.number)
                last = nimg >= phase.end_nimg or stopping
                save = checkpoints.due(nimg) or nimg >= total_nimg
                if writer.due(nimg) or save or last:
                    # Before saving: numbers that are not finite end the run here.
                    alpha = phase.alpha_at(nimg)
                    means = writer.flush(
                        nimg,
                        alpha=alpha,
                        last_checkpoint=checkpoints.latest_path(),
                    )
                    watchdog.begin()
                    ticks += 1
                    diversity = None
                    if last or ticks % config.run.grid_ticks == 0:
                        generator = generator_of(state, config.model, phase)
                        grid = draw(parallel.copy_everywhere(generator, mesh))
                        writer.write_grid("fakes", nimg, grid)
                        diversity = sample_grids.diversity(
                            config.run, config.model, grid, reals
                        )
                    trouble = health.observe(nimg, means, diversity)
                    if trouble and rollbacks < config.health.rollbacks:
                        raise trouble
                    if trouble:
                        writer.warn(str(trouble))
                    facts = {
                        "resolution": phase.resolution,
                        "alpha": alpha,
                        "schedule": record(config.schedule, since_nimg),
                    }
                    if save or stopping:
                        due = evaluation.due(nimg, at_end=nimg >= total_nimg)
                        checkpoints.save(nimg, state, {**facts, "due": due})
                        if save and due:
                            watchdog.pause()
                            generator = generator_of(state, config.model, phase)
                            generator = parallel.copy_everywhere(generator, mesh)
                            evaluation.run(due, nimg, generator)
                            # Scores may take long; this state is saved already.
                            stopping = ballot.cast(stop.number)
                    writer.restart_clock(nimg)
            watchdog.begin()
            batches.close()
            if stopping:
                break
        if stopping:
            if nimg > checkpoints.last_nimg:  # it came while the next step compiled
                checkpoints.save(nimg, state, facts)
            name = signal.Signals(stopping).name
            done = f"saved at {nimg / 1000:.3f} kimg" if nimg else "nothing to save yet"
            writer.note(f"{name}: {done}; the same command continues")
        elif short:
            writer.warn(short)
    return state


def open_batches(
    config: Config, images: DecodedSource, phase: Phase, start_nimg: int
) -> stream.Batches:
    """This process's batches of the phase, from image `start_nimg` on."""
    return stream.batches(
        images,
        resolution=phase.resolution,
        repeats=phase.minibatches,
        batch_size=phase.batch_size,
        start_nimg=start_nimg,
        seed=config.data.seed,
        mirror=config.data.mirror,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
