"""Retention of checkpoints: the newest, milestones, and the best by score.

Each checkpoint has its scores in `scores.json`. `best.json` beside the checkpoints
names the best one, which is never removed.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.runs import stored

_log = logging.getLogger(__name__)
Scores = dict[str, dict[str, float]]  # by evaluator, then by score

_SCORES = "scores.json"
_BEST = "best.json"
_SCORES_SHAPE = {"resolution": int, "scores": {...: {...: float}}}


class Criterion(NamedTuple):
    """Score that selects the best checkpoint."""

    score: str  # such as fid5k
    larger_is_better: bool


class Best(NamedTuple):
    """Contents of `best.json`."""

    checkpoint: str  # name of its directory
    nimg: int
    resolution: int  # pixels; scores of different resolutions do not compare
    score: str
    value: float
    larger_is_better: bool


_BEST_SHAPE = typing.get_type_hints(Best)


def remove_old(directory: Path, keep_last: int, every_nimg: int | None) -> None:
    """Removes all checkpoints but the newest `keep_last`, the milestones and the best.

    Milestones are the earliest checkpoint of each interval of `every_nimg` images but
    the first; None keeps none.
    """
    steps = stored.step_directories(directory)
    kept = {nimg for nimg, _ in steps[:keep_last]}
    if every_nimg is not None:
        earliest = {nimg // every_nimg: nimg for nimg, _ in steps}
        kept |= {nimg for interval, nimg in earliest.items() if interval}
    if best := read_best(directory):
        kept.add(best.nimg)
    elif (directory / _BEST).exists():  # damaged: any that was scored may be the one
        kept |= {nimg for nimg, path in steps if (path / _SCORES).exists()}
    for nimg, path in steps:
        if nimg not in kept:
            shutil.rmtree(path)


def set_aside(path: Path, prefix: str) -> None:
    """Renames a checkpoint `PREFIX_NAME`; another may become the best one."""
    target = path.with_name(f"{prefix}_{path.name}")
    shutil.rmtree(target, ignore_errors=True)
    path.rename(target)
    best = read_best(path.parent)
    if best is not None and best.checkpoint == path.name:
        (path.parent / _BEST).unlink(missing_ok=True)
        choose_best(path.parent, Criterion(best.score, best.larger_is_better))


def read_scores(path: Path) -> Scores:
    """Scores of a checkpoint, by evaluator; {} when it has none."""
    return _scores_of(path).get("scores", {})


def _scores_of(path: Path) -> dict[str, Any]:
    way_on = "its scores are left out until they are taken again"
    return _read(path / _SCORES, _SCORES_SHAPE, way_on)


def add_scores(
    path: Path, evaluator: str, scores: Mapping[str, float], resolution: int
) -> None:
    """Adds an evaluator's finite scores, of a generator of `resolution` pixels."""
    finite = {name: value for name, value in scores.items() if math.isfinite(value)}
    both = read_scores(path) | {evaluator: finite}
    _write(path / _SCORES, {"resolution": resolution, "scores": both})


def read_best(directory: Path) -> Best | None:
    """The best checkpoint; None if none was chosen or, after a warning, if damaged."""
    found = _read(directory / _BEST, _BEST_SHAPE, "the next score writes it again")
    if not found:
        return None
    if found["checkpoint"] != stored.step_name(found["nimg"]):  # any path, perhaps
        _log.warning("%s names no checkpoint; the next score does", directory / _BEST)
        return None
    return Best(*(found[name] for name in Best._fields))


def choose_best(directory: Path, criterion: Criterion) -> None:
    """Writes `best.json`: the best of the scored checkpoints, if there are any.

    Only those of the highest resolution take part, as scores compare images of one
    size. Of equals the newest is the best.
    """
    score, larger = criterion
    candidates: list[Best] = []
    for nimg, path in stored.step_directories(directory):
        record = _scores_of(path)
        for scores in record.get("scores", {}).values():
            if score in scores:
                found = record["resolution"], score, scores[score], larger
                candidates.append(Best(path.name, nimg, *found))
    if candidates:
        sign = 1 if larger else -1
        best = max(candidates, key=lambda b: (b.resolution, sign * b.value, b.nimg))
        _write(directory / _BEST, best._asdict())


def best_path(directory: Path) -> Path:
    """Path of the best checkpoint; UserError if none was chosen or it is gone."""
    best = read_best(directory)
    if best is not None and (directory / best.checkpoint).is_dir():
        return directory / best.checkpoint
    if best is not None:
        reason = f"{best.checkpoint}, which {directory / _BEST} names, is gone"
    elif (directory / _BEST).exists():
        reason = f"{directory / _BEST} is damaged until the next score in training"
    else:
        reason = f"nothing was scored in training (metrics.names) in {directory}"
    raise UserError(f"{reason}; give the run or one of its checkpoints")


def _read(path: Path, shape: Any, way_on: str) -> dict[str, Any]:
    """The record; {} if missing or, after a warning, if damaged."""
    try:
        return records.read(path, shape, way_on=way_on, inside=path.parent)
    except FileNotFoundError:
        return {}
    except records.DamagedRecordError as error:
        _log.warning("%s", error)
        return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    atomic_write(path, json.dumps(content, indent=2) + "\n")
