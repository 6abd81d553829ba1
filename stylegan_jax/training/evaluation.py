"""Scores in the course of training: when they are taken, and what becomes of them.

Training knows no measure. An `Evaluator` is a name, a cadence and a function, which
the entry point makes. It runs at checkpoints, after the state has been saved, on a
copy of the averaged generator, so that a scored generator is always one that can be
loaded and training is what it would be without.
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from stylegan_jax.errors import UserError
from stylegan_jax.io import timing
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs.checkpoint import Checkpoints
from stylegan_jax.runs.retention import Criterion, Scores
from stylegan_jax.training.interrupt import StopSignal
from stylegan_jax.training.writer import Writer

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """Measures that are taken in the course of training; they do not change it."""

    names: str = ""  # as of `stylegan_jax.evaluate`: fid5k,ppl_wend1k; "": none
    # Thousands of images between two evaluations, each at the checkpoint that comes
    # next, and one at the end. None: at every checkpoint.
    every_kimg: float | None = None
    best: str | None = None  # the score that chooses the best checkpoint; None: first
    inception: Path | None = None  # your own copy of the weights; else fetched once
    vgg16: Path | None = None  # likewise
    lpips: Path | None = None  # likewise, of LPIPS's linear layers
    features: Path | None = None  # a feature network of your own instead of these
    batch_size: int = 32  # images under way at once; scores change by rounding only
    seed: int = 0  # of everything random in the measures

    def __post_init__(self) -> None:
        """Checks the fields; raises UserError."""
        if self.every_kimg is not None and self.every_kimg < 0.001:
            raise UserError(
                f"metrics.every_kimg {self.every_kimg} is less than one image; None is"
                " every checkpoint"
            )
        if self.batch_size < 1:
            raise UserError(f"metrics.batch_size {self.batch_size} is not positive")
        if self.best is not None and not self.names:
            raise UserError(
                f"metrics.best is {self.best!r}, but metrics.names has no measure"
            )


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Something that scores a generator now and then.

    Attributes:
        name: of the measure, each once.
        every_kimg: thousands of images between two runs, rounded up to checkpoints.
        run: gives scores by name. With several processes all of them call it, and
            all must leave it, alike.
        larger_is_better: for each score that may choose the best checkpoint.
    """

    name: str
    every_kimg: float
    run: Callable[[Generator], Mapping[str, float]]
    larger_is_better: Mapping[str, bool] = dataclasses.field(default_factory=dict)


def criterion(best: str | None, evaluators: Sequence[Evaluator]) -> Criterion | None:
    """What chooses the best checkpoint: the score `best`, by default the first one.

    None if there is no score that could.

    Raises:
        UserError: no evaluator gives the score `best`.
    """
    known: dict[str, bool] = {}
    for evaluator in evaluators:
        known.update(evaluator.larger_is_better)
    if best is None:
        return next((Criterion(*item) for item in known.items()), None)
    if best not in known:
        raise UserError(
            f"metrics.best {best!r} is not a score of metrics.names that can choose the"
            f" best checkpoint; those are {', '.join(known) or 'none'}"
        )
    return Criterion(best, known[best])


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Runs the evaluators of one run of training.

    Attributes:
        evaluators: all there are.
        best: what chooses the best checkpoint; None leaves it as it is.
        checkpoints: where states are saved, and scores with them.
        writer: where scores are written and shown.
        stop: when requested, evaluators that have not begun wait for the next start.
    """

    evaluators: Sequence[Evaluator]
    best: Criterion | None
    checkpoints: Checkpoints
    writer: Writer
    stop: StopSignal

    def due(self, nimg: int, *, at_end: bool) -> list[str]:
        """Names of the evaluators to run at a checkpoint that is about to be saved.

        Args:
            nimg: real images shown so far.
            at_end: the run is complete, and all are due.
        """
        last_nimg = self.checkpoints.last_nimg
        return [
            evaluator.name
            for evaluator in self.evaluators
            if at_end or timing.due(nimg, last_nimg, evaluator.every_kimg)
        ]

    def missed(self, facts: Mapping[str, Any], scores: Scores) -> list[str]:
        """Names of the evaluators that a checkpoint still waits for.

        Args:
            facts: its metadata; `due` has the names that were due.
            scores: those it has.
        """
        due = facts.get("due")
        names = due if isinstance(due, list) else []
        return [name for name in map(str, names) if name not in scores]

    def run(self, names: Sequence[str], nimg: int, generator: Generator) -> None:
        """Runs some evaluators on the generator whose state was saved at `nimg`.

        Scores are written, shown and kept with the checkpoint. An evaluator that
        fails is a warning, no reason to stop training.

        Args:
            names: of the evaluators; those that are no more are left out.
            nimg: real images shown so far.
            generator: on the devices; the evaluators get a copy.
        """
        chosen = [evaluator for evaluator in self.evaluators if evaluator.name in names]
        if not chosen:
            return
        # As if loaded from the checkpoint: the state's buffers belong to the step, and
        # measures lay their arrays out over the devices in their own way.
        generator = jax.tree.map(jnp.array, jax.device_get(generator))
        for evaluator in chosen:
            # A signal may reach one process before the others; they go on together.
            if self.stop.requested and jax.process_count() == 1:
                return
            self.writer.note(f"kimg {nimg / 1000:.1f}  taking {evaluator.name}")
            scores = _scores(evaluator, nimg, generator)
            if scores is not None:
                self.writer.write(nimg, {f"metrics/{k}": v for k, v in scores.items()})
                self.checkpoints.record_scores(
                    nimg, evaluator.name, scores, generator.resolution, self.best
                )


def _scores(
    evaluator: Evaluator, nimg: int, generator: Generator
) -> dict[str, float] | None:
    """What the evaluator finds; None, after a warning, when it fails."""
    try:
        scores = {name: float(x) for name, x in evaluator.run(generator).items()}
    except Exception as error:
        _log.warning(
            "%s at %.3f kimg was not taken (%s: %s); training goes on",
            evaluator.name,
            nimg / 1000,
            type(error).__name__,
            error,
            exc_info=not isinstance(error, UserError),  # a bug keeps its traceback
        )
        return None
    unusable = [name for name, value in scores.items() if not math.isfinite(value)]
    if unusable:
        _log.warning("%s not finite at %.3f kimg", ", ".join(unusable), nimg / 1000)
    return scores
