"""The training loop: phases, steps, and what is kept of them, in order."""

import collections
import contextlib
import dataclasses
import math
import signal
from collections.abc import Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from stylegan_jax import parallel, processes
from stylegan_jax.common import files
from stylegan_jax.common.errors import UserError
from stylegan_jax.data import pipeline
from stylegan_jax.data.cache import DecodedSource
from stylegan_jax.data.sources import Source, open_source, require_classes
from stylegan_jax.training import compiling, pictures
from stylegan_jax.training.checkpoint import Checkpoints, Restored
from stylegan_jax.training.config import MAY_CHANGE, Config
from stylegan_jax.training.evaluation import Evaluation, Evaluator, criterion
from stylegan_jax.training.health import Monitor
from stylegan_jax.training.interrupt import StopSignal
from stylegan_jax.training.schedule import Phase, phases
from stylegan_jax.training.state import (
    TrainState,
    generator_of,
    init_state,
    reset_optimizers,
    shardings,
)
from stylegan_jax.training.step import Metrics
from stylegan_jax.training.watchdog import Watchdog
from stylegan_jax.training.writer import Writer

# Steps handed to the device before the loop waits for an older one. XLA's CPU
# backend deadlocks with some thirty collectives queued, and a short queue is enough.
_IN_FLIGHT = 2
# Between the seeds of two rollbacks: far from the seeds that people choose.
_PRIME = 104_729


def train(
    config: Config,
    workdir: Path,
    *,
    mesh: Mesh | None = None,
    evaluators: Sequence[Evaluator] = (),
    watchdog: Watchdog | None = None,
    rollbacks: int = 0,
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
    source = open_source(config.data)
    config = fit_to_data(config, source)
    processes.require_same(
        "configuration and data", [files.to_json(config), source.name, len(source)]
    )
    schedule = phases(config.schedule, config.model.resolution)
    best = criterion(config.metrics.best, evaluators)
    files.start_run(
        workdir,
        config,
        devices=[str(device) for device in mesh.devices.flat],
        may_change=MAY_CHANGE,
        process_index=jax.process_index(),
    )
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(workdir, config.checkpoint))
        if watchdog is None:
            watchdog = stack.enter_context(Watchdog(config.run.stall_seconds))
        watchdog.settle = checkpoints.settle
        nimg, restored, facts, scores = restore_or_init(config, checkpoints, mesh)
        state: TrainState = restored
        del restored  # its buffers are the step's to overwrite
        total_nimg = schedule[-1].end_nimg
        writer = stack.enter_context(
            Writer(workdir, total_nimg / 1000, restored_nimg=nimg)
        )
        stop = stack.enter_context(StopSignal())
        ballot, stopping = processes.Ballot(mesh), 0
        health = Monitor(config.health, config.loss, nimg)
        evaluation = Evaluation(evaluators, best, checkpoints, writer, stop)
        draw = pictures.make_draw(config.run, config.model, source)
        reals = pictures.grid_of_reals(config.run, source, config.model.resolution)
        if nimg == 0:
            writer.write_grid("reals", 0, reals)
        config = reseeded(config, rollbacks)
        key = jax.random.fold_in(jax.random.key(config.run.seed), 1)
        key = parallel.place(key, parallel.replicated(mesh))
        images = DecodedSource(source, config.data.cache_bytes, config.data.dtype)
        steps = compiling.StepsAhead(config, remaining(schedule, nimg), mesh)
        ticks = 0
        missed = evaluation.missed(facts, scores)
        for phase in remaining(schedule, nimg - 1)[:1]:  # the one that was saved
            watchdog.begin("evaluating", math.inf)
            generator = generator_of(state, config.model, phase)
            generator = parallel.copy_everywhere(generator, mesh)
            evaluation.run(missed, nimg, generator)

        watchdog.begin("compiling")
        for phase, train_step in steps:
            processes.meet()  # one may have compiled longer
            writer.begin_phase(
                nimg,
                title=phase.title,
                resolution=phase.resolution,
                tick_kimg=config.run.tick_kimg.at(phase.resolution),
            )
            if nimg == phase.start_nimg and config.schedule.reset_optimizers:
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
                    alpha = alpha_of(phase, nimg)
                    means = writer.flush(
                        nimg,
                        alpha=alpha,
                        last_checkpoint=checkpoints.latest_path(),
                    )
                    watchdog.begin("drawing and saving")
                    ticks += 1
                    diversity = None
                    if last or ticks % config.run.grid_ticks == 0:
                        generator = generator_of(state, config.model, phase)
                        grid = draw(parallel.copy_everywhere(generator, mesh))
                        writer.write_grid("fakes", nimg, grid)
                        diversity = pictures.diversity(
                            config.run, config.model, grid, reals
                        )
                    trouble = health.observe(nimg, means, diversity)
                    if trouble and rollbacks < config.health.rollbacks:
                        raise trouble
                    if trouble:
                        writer.warn(str(trouble))
                    if save or stopping:
                        due = evaluation.due(nimg, at_end=nimg >= total_nimg)
                        facts = {"resolution": phase.resolution, "alpha": alpha}
                        checkpoints.save(nimg, state, {**facts, "due": due})
                        if save and due:
                            watchdog.begin("evaluating", math.inf)
                            generator = generator_of(state, config.model, phase)
                            generator = parallel.copy_everywhere(generator, mesh)
                            evaluation.run(due, nimg, generator)
                            # Scores may take long; this state is saved already.
                            stopping = ballot.cast(stop.number)
                    writer.restart_clock(nimg)
            watchdog.begin("compiling")
            batches.close()
            if stopping:
                name = signal.Signals(stopping).name
                writer.note(f"{name}: saved at {nimg / 1000:.3f} kimg")
                break
    return state


def fit_to_data(config: Config, source: Source) -> Config:
    """Gives the networks the label size of the data, unless the recipe set one.

    Raises:
        UserError: the recipe set another one, labels are vectors that are no classes,
            or the discriminator would not see them.
    """
    require_classes(source)
    if source.label_size and not config.model.embed_labels:
        raise UserError(
            f"{source.name} has labels, and the discriminator of a network without "
            "label embedding (ProGAN's, configuration A) does not see them; set "
            "model.embed_labels, or data.labels to none"
        )
    wanted = config.model.label_size
    if wanted not in (0, source.label_size):
        raise UserError(
            f"model.label_size is {wanted}, but {source.name} has {source.label_size} "
            "classes; leave it at 0 to take the data's, or change data.labels"
        )
    model = dataclasses.replace(config.model, label_size=source.label_size)
    return dataclasses.replace(config, model=model)


def restore_or_init(config: Config, checkpoints: Checkpoints, mesh: Mesh) -> Restored:
    """The newest good checkpoint, or a new state before the first image."""
    restored = checkpoints.restore_latest(compiling.abstract_state(config, mesh))
    if restored is not None:
        return restored
    key = jax.random.key(config.run.seed)
    state = placed(init_state(key, config.model, config.optimizer), config, mesh)
    return Restored(0, state, {}, {})


def placed(state: TrainState, config: Config, mesh: Mesh) -> TrainState:
    """The state where the step wants it."""
    places = shardings(state, mesh, spread=config.run.shard_state)
    return parallel.place(state, places)


def reseeded(config: Config, rollbacks: int) -> Config:
    """Other latents and another order of the data after every rollback."""
    run = dataclasses.replace(config.run, seed=config.run.seed + _PRIME * rollbacks)
    data = dataclasses.replace(config.data, seed=config.data.seed + _PRIME * rollbacks)
    return dataclasses.replace(config, run=run, data=data)


def remaining(schedule: tuple[Phase, ...], nimg: int) -> tuple[Phase, ...]:
    """The phases that have images left to show."""
    return tuple(phase for phase in schedule if nimg < phase.end_nimg)


def open_batches(
    config: Config, images: DecodedSource, phase: Phase, start_nimg: int
) -> pipeline.Batches:
    """This process's batches of the phase, from image `start_nimg` on."""
    return pipeline.batches(
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


def alpha_of(phase: Phase, nimg: int) -> float | None:
    """The weight of the new resolution, on the host; None when nothing fades."""
    if not phase.fading:
        return None
    return min((nimg - phase.fade_start_nimg) / phase.fade_nimg, 1.0)
