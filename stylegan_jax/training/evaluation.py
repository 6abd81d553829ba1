"""Evaluation during training: cadence and evaluators.

Evaluators run at checkpoints, after the save, on a copy of the averaged generator; they
do not influence training.
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stylegan_jax.errors import UserError
from stylegan_jax.limits import require, require_positive, require_seed
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs.retention import Criterion

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
        image = "less than one image; None is every checkpoint"
        require(self, "metrics", lambda x: x >= 0.001, image, "every_kimg")
        require_positive(self, "metrics", "batch_size")
        require_seed(self, "metrics", "seed")
        if self.best is not None and not self.names:
            raise UserError(
                f"metrics.best is {self.best!r}, but metrics.names has no measure"
            )


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """A measure of generators and its cadence."""

    name: str  # of the measure, each once
    every_kimg: float  # between two runs, rounded up to checkpoints
    # Gives scores by name. All processes call it, and must leave it alike.
    run: Callable[[Generator], Mapping[str, float]]
    # For each score that may choose the best checkpoint.
    larger_is_better: Mapping[str, bool] = dataclasses.field(default_factory=dict)


def criterion(best: str | None, evaluators: Sequence[Evaluator]) -> Criterion | None:
    """Criterion of the best checkpoint: the score `best`, by default the first one.

    None if there is no score that could. Raises UserError if no evaluator gives `best`.
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


def evaluate(
    evaluator: Evaluator, nimg: int, generator: Generator
) -> dict[str, float] | None:
    """Scores of a generator; None, after a warning, when the evaluator fails."""
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
