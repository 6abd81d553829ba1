"""Scores through training, of runs side by side.

They are those that `stylegan_jax.train` wrote to `metrics.jsonl` (`metrics` in the
configuration) and `stylegan_jax.evaluate` to `evaluations.jsonl`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import plots, records
from stylegan_jax.metrics import evaluations as metrics

_TRAINED = "metrics/"  # before the names of scores in metrics.jsonl


def read_scores(run: Path) -> dict[str, dict[int, float]]:
    """Scores of a run, by name and images shown."""
    found = metrics.history(run)
    log = records.read_log(run / "metrics.jsonl", {"nimg": int}, inside=run)
    for record in log:
        for name, value in record.items():
            if name.startswith(_TRAINED) and isinstance(value, float | int):
                of_name = found.setdefault(name.removeprefix(_TRAINED), {})
                of_name[record["nimg"]] = value
    return found


def scores(runs: Sequence[Path], names: Sequence[str] | None = None) -> np.ndarray:
    """Draws a panel for each score, a line in it for each run.

    Args:
        runs: run directories.
        names: scores, in order; all that are known of two or more checkpoints of a
            run by default, without the accuracies of classifiers.

    Returns:
        The picture, uint8 `[H, W, 3]`.

    Raises:
        UserError: nothing is known of a wanted score, or of any.
    """
    known = {run.absolute().name: read_scores(run) for run in runs}
    if names is None:
        names = list(
            dict.fromkeys(
                name
                for of_run in known.values()
                for name, values in of_run.items()
                if len(values) > 1 and "_accuracy_" not in name
            )
        )
    panels = {}
    for name in names:
        lines = {
            run: ([n / 1000 for n in sorted(of)], [of[n] for n in sorted(of)])
            for run, of_run in known.items()
            if (of := of_run.get(name))
        }
        if not lines:
            heard = sorted({score for of_run in known.values() for score in of_run})
            raise UserError(f"no score {name!r}; known: {', '.join(heard) or 'none'}")
        panels[name] = lines
    if not panels:
        raise UserError(
            "no score is known at two checkpoints; set metrics.names in training or "
            "run python -m stylegan_jax.evaluate RUN/checkpoints/CHECKPOINT"
        )
    return plots.panels_of_lines(panels, x_label="thousand images shown")
