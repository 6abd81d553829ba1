"""Detection of failed training while its numbers are still finite.

The tick's means and sample grid that it uses are the same in every process.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import statistics
from collections.abc import Mapping

from stylegan_jax.errors import UserError
from stylegan_jax.limits import require, require_not_negative, require_positive
from stylegan_jax.training.losses import LossConfig

_HISTORY = 20  # ticks that "usual" means
_ENOUGH = 5  # ticks before anything is called unusual


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """Thresholds of the health checks, and how often a run may go back."""

    r1_factor: float = 20.0  # R1 so many times its median, and ...
    r1_penalty: float = 10.0  # ... its term of the loss above this: it explodes
    certainty: float = 0.999  # the discriminator's probability that is as good as 1
    collapse: float = 0.1  # spread of samples, relative to the data's, that is none
    patience_ticks: int = 3  # ticks in a row before it is reported
    # Times that a run may go back to its last healthy checkpoint and try again with
    # another seed; 0: report only (and end on numbers that are not finite).
    rollbacks: int = 0

    def __post_init__(self) -> None:
        require(self, "health", lambda x: x > 1, "not above 1", "r1_factor")
        require_positive(self, "health", "r1_penalty", "patience_ticks")
        require(self, "health", lambda x: 0.5 < x < 1, "not in (0.5, 1)", "certainty")
        require(self, "health", lambda x: 0 <= x < 0.5, "not in [0, 0.5)", "collapse")
        require_not_negative(self, "health", "rollbacks")


class Unhealthy(UserError):
    """Training has failed though its numbers are finite."""

    def __init__(self, message: str, healthy_nimg: int) -> None:
        """`healthy_nimg` images had been shown when it was last healthy."""
        super().__init__(message)
        self.healthy_nimg = healthy_nimg


class Monitor:
    """Compares every tick of a run with earlier ones."""

    def __init__(self, config: HealthConfig, loss: LossConfig, nimg: int) -> None:
        """Begins at image `nimg`, which is taken to be healthy."""
        self._config, self._loss = config, loss.resolved()
        self._r1: collections.deque[float] = collections.deque(maxlen=_HISTORY)
        self._best_diversity = 0.0
        # Of each symptom: ticks in a row, and the image count before it began.
        self._lasting: dict[str, tuple[int, int]] = {}
        self._nimg = nimg

    def new_phase(self) -> None:
        """Forgets the usual R1, as the graph has changed."""
        self._r1.clear()

    def observe(
        self, nimg: int, metrics: Mapping[str, float], diversity: float | None = None
    ) -> Unhealthy | None:
        """A problem that has lasted `patience_ticks`, reported once; else None.

        `diversity` is the spread of the samples relative to the data's, None if
        unknown.
        """
        found = {
            "r1": self._r1_symptom(metrics),
            "scores": self._score_symptom(metrics),
        }
        if diversity is not None:
            found["diversity"] = self._diversity_symptom(diversity)
        reported = None
        for name, sentence in found.items():
            if sentence is None:
                self._lasting.pop(name, None)
                continue
            ticks, healthy = self._lasting.get(name, (0, self._nimg))
            self._lasting[name] = (ticks + 1, healthy)
            if ticks + 1 == self._config.patience_ticks:
                reported = reported or Unhealthy(
                    f"at {nimg / 1000:.3f} kimg {sentence}; last healthy at "
                    f"{healthy / 1000:.3f} kimg (`change` continues with other values)",
                    healthy,
                )
        if not self._lasting:
            self._nimg = nimg
        return reported

    def _r1_symptom(self, metrics: Mapping[str, float]) -> str | None:
        r1, gamma = metrics.get("r1"), self._loss.r1_gamma
        if r1 is None or not gamma:
            return None
        usual = statistics.median(self._r1) if len(self._r1) >= _ENOUGH else math.inf
        large = gamma / 2 * r1 > self._config.r1_penalty
        if large and r1 > self._config.r1_factor * usual:
            return (
                f"R1 explodes ({r1:.3g}, usual was {usual:.3g}): lower "
                "optimizer.learning_rate or optimizer.d_rate, or raise loss.r1_gamma"
            )
        self._r1.append(r1)
        return None

    def _score_symptom(self, metrics: Mapping[str, float]) -> str | None:
        if not self._loss.objective.startswith("logistic"):
            return None
        real, fake = (metrics.get(f"scores/{kind}", 0.0) for kind in ("real", "fake"))
        sure = math.log(self._config.certainty / (1 - self._config.certainty))
        seen = f"(scores {real:.3g} of reals, {fake:.3g} of fakes)"
        if real > sure and fake < -sure:
            return (
                f"the discriminator is always right {seen} and teaches the generator "
                "nothing: raise loss.r1_gamma, lower optimizer.d_rate, or train on "
                "more images (`data.mirror` doubles them)"
            )
        if min(real, fake) > sure or max(real, fake) < -sure:
            return (
                f"the discriminator calls everything {'real' if real > 0 else 'fake'} "
                f"{seen}: lower optimizer.learning_rate or loss.r1_gamma"
            )
        return None

    def _diversity_symptom(self, diversity: float) -> str | None:
        # Low diversity early in training is no collapse.
        self._best_diversity = max(self._best_diversity, diversity)
        collapse = self._config.collapse
        if diversity >= collapse or self._best_diversity < 2 * collapse:
            return None
        return (
            f"samples are nearly all the same (spread {diversity:.2f} of the data's, "
            f"it was {self._best_diversity:.2f}): lower optimizer.learning_rate, raise "
            "loss.r1_gamma or the minibatch"
        )
