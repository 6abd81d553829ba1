"""Score curves of runs, from `metrics.jsonl` and `evaluations.jsonl`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import plots, records
from stylegan_jax.metrics import evaluations as metrics

_TRAINED = "metrics/"  # before the names of scores in metrics.jsonl

# Panels of overfitting: training metrics by line name.
_SIGNS = {
    "mean scores": {
        "in training": "overfitting/train",
        "held out": "overfitting/held_out",
        "samples": "overfitting/fake",
    },
    "overfitting": {"r_t": "augment/r_t", "r_v": "overfitting/r_v"},
    "augmentation": {"p": "augment/p"},
}


def read_scores(run: Path) -> dict[str, dict[int, float]]:
    """Scores of a run, by name and images shown; UserError if it is no folder."""
    if not run.is_dir():
        raise UserError(f"{run} is no run directory, which has scores")
    found = metrics.history(run)
    log = records.read_log(run / "metrics.jsonl", {"nimg": int}, inside=run)
    for record in log:
        for name, value in record.items():
            if name.startswith(_TRAINED) and isinstance(value, float | int):
                of_name = found.setdefault(name.removeprefix(_TRAINED), {})
                of_name[record["nimg"]] = value
    return found


def shared_scores(runs: Sequence[Path]) -> dict[str, list[dict[int, float]]]:
    """Scores that all runs have: by name, for each run by images shown."""
    known = [read_scores(run) for run in runs]
    shared = [name for name in known[0] if all(name in of_run for of_run in known)]
    return {name: [of_run[name] for of_run in known] for name in shared}


def run_names(runs: Sequence[Path]) -> list[str]:
    """Names of runs: their folders', with those above where others have the same."""
    paths = [run.resolve() for run in runs]
    depths = range(1, max(len(path.parts) for path in paths) + 1)
    names = [["/".join(path.parts[-depth:]) for path in paths] for depth in depths]
    return next(found for found in names if len(set(found)) == len(set(paths)))


def scores(runs: Sequence[Path], names: Sequence[str] | None = None) -> np.ndarray:
    """Panel per score with a line per run, uint8 `[H, W, 3]`.

    `names` are by default all scores of two or more checkpoints of a run, without
    accuracies of classifiers. Raises UserError for scores that no run has.
    """
    known = dict(zip(run_names(runs), map(read_scores, runs), strict=True))
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


def overfitting(run: Path) -> np.ndarray:
    """Curves of overfitting through training, uint8 `[H, W, 3]`, as recorded.

    The discriminator's mean scores of training, held-out and generated images; r_t and
    r_v; the augmentation probability p. Raises UserError if there are none.
    """
    log = [*records.read_log(run / "metrics.jsonl", {"nimg": int}, inside=run)]

    def course(name: str) -> tuple[list[float], list[float]]:
        known = [record for record in log if name in record]
        return [x["nimg"] / 1000 for x in known], [x[name] for x in known]

    panels = {
        title: {line: course(name) for line, name in lines.items() if course(name)[0]}
        for title, lines in _SIGNS.items()
    }
    if not any(panels.values()):
        raise UserError(
            f"{run} has no record of overfitting: train with `data.holdout=0.1`, or "
            "`augment.mode=ada`"
        )
    panels = {title: lines for title, lines in panels.items() if lines}
    return plots.panels_of_lines(
        panels, x_label="thousand images shown", from_zero=False
    )
