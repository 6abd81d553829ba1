"""Ticks of a run: metrics, samples, health, checkpoints and scores between steps."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from stylegan_jax.distributed import parallel
from stylegan_jax.distributed.watchdog import Watchdog
from stylegan_jax.io import timing
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs.checkpoint import Checkpoints
from stylegan_jax.runs.retention import Criterion, Scores
from stylegan_jax.training import evaluation
from stylegan_jax.training.config import Config
from stylegan_jax.training.evaluation import Evaluator
from stylegan_jax.training.health import Monitor
from stylegan_jax.training.interrupt import StopSignal
from stylegan_jax.training.report import Report
from stylegan_jax.training.sample_grids import Samples
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import TrainState, averaged, generator_of


@dataclasses.dataclass(kw_only=True)
class Ticks:
    """Work between steps.

    `observe` measures overfitting, of image count, state and phase. `facts` are of the
    newest tick or checkpoint: `resolution`, `alpha`, `schedule`. `best` None leaves the
    best checkpoint as it is.
    """

    config: Config
    mesh: Mesh
    end_nimg: int
    schedule: dict[str, Any]
    rollbacks: int
    checkpoints: Checkpoints
    watchdog: Watchdog
    stop: StopSignal
    report: Report
    samples: Samples
    health: Monitor
    evaluators: Sequence[Evaluator]
    observe: Callable[[int, TrainState, Phase], Mapping[str, float]] | None
    best: Criterion | None
    facts: Mapping[str, Any]
    count: int = 0

    def after_step(self, nimg: int, state: TrainState, phase: Phase) -> None:
        """Reports, draws, saves and evaluates, each if it is due.

        Raises NonFiniteError, or Unhealthy, where a rollback may help.
        """
        at_end = nimg >= self.end_nimg
        last = nimg >= phase.end_nimg or self.stop.agreed
        save = self.checkpoints.due(nimg) or at_end
        if not (self.report.due(nimg) or save or last):
            return
        model, alpha = self.config.model, phase.alpha_at(nimg)
        # Before saving: numbers that are not finite end the run here.
        means = self.report.flush(nimg, alpha, self.checkpoints.latest_path())
        self.watchdog.begin()
        self.count += 1
        if self.observe is not None:
            self.report.write(nimg, self.observe(nimg, state, phase))
        diversity = None
        if last or self.count % self.config.run.grid_ticks == 0:
            generator = generator_of(state, model, phase)
            generator = parallel.copy_everywhere(generator, self.mesh)
            diversity = self.samples.write_fakes(nimg, generator)
        if trouble := self.health.observe(nimg, means, diversity):
            if self.rollbacks < self.config.health.rollbacks:
                raise trouble
            self.report.warn(str(trouble))
        self.facts = {
            "resolution": phase.resolution,
            "alpha": alpha,
            "schedule": self.schedule,
        }
        if save or self.stop.agreed:
            before = self.checkpoints.last_nimg
            due = [
                x.name
                for x in self.evaluators
                if at_end or timing.due(nimg, before, x.every_kimg)
            ]
            self.checkpoints.save(nimg, state, {**self.facts, "due": due})
            if save and due:
                self._evaluate(due, nimg, generator_of(state, model, phase))
                # Scores may take long; this state is saved already.
                self.stop.agree()
        self.report.restart_clock(nimg)

    def evaluate_missed(self, nimg: int, state: TrainState, scores: Scores) -> None:
        """Takes the scores that the checkpoint of `state` still lacks."""
        due = self.facts.get("due")
        missed = [x for x in due if x not in scores] if isinstance(due, list) else []
        if missed:
            alpha, resolution = self.facts.get("alpha"), self.facts["resolution"]
            generator = averaged(state, self.config.model, resolution, alpha)
            self._evaluate(missed, nimg, generator)

    def _evaluate(self, names: Sequence[str], nimg: int, generator: Generator) -> None:
        self.watchdog.pause()
        # A copy: the step donates the state's buffers, and measures have their own
        # shardings.
        host = jax.device_get(parallel.copy_everywhere(generator, self.mesh))
        generator = jax.tree.map(jnp.array, host)
        for evaluator in (x for x in self.evaluators if x.name in names):
            # Not with other processes, which may not have the signal yet.
            if self.stop.received and jax.process_count() == 1:
                return
            kimg = f"kimg {nimg / 1000:.1f}  "
            self.report.note(f"{kimg}taking {evaluator.name}")
            scores = evaluation.evaluate(evaluator, nimg, generator)
            if scores is not None:
                named = {f"metrics/{name}": value for name, value in scores.items()}
                self.report.write(nimg, named)
                shown = (f"{name} {value:.4g}" for name, value in named.items())
                self.report.note(kimg + "  ".join(shown))
                self.checkpoints.record_scores(
                    nimg, evaluator.name, scores, generator.resolution, self.best
                )
