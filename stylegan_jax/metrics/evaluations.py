"""Log of a run's measures, one JSON line each: `evaluations.jsonl`.

{"metric": "fid5k", "fid5k": 12.3, "nimg": 80000, "seed": 0, "network": "...",
 "settings": {...}}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylegan_jax.io import records

FILE = "evaluations.jsonl"
Scores = dict[str, float]


def find(run: Path, identity: Mapping[str, Any]) -> Scores | None:
    """Scores of the last line with this identity, or None.

    `identity` is "metric", "seed", "network" (a digest) and "settings", as JSON.
    """
    last = None
    for record in records.read_log(run / FILE, {}, inside=run):
        if identity.items() <= record.items():
            found = {k: v for k, v in record.items() if k not in {*identity, "nimg"}}
            if all(type(value) in (int, float) for value in found.values()):
                last = found
    return last


def history(run: Path) -> dict[str, dict[int, float]]:
    """Scores of the run by name and images shown; the last line counts."""
    found: dict[str, dict[int, float]] = {}
    for record in records.read_log(run / FILE, {}, inside=run):
        for name, value in record.items():
            if isinstance(value, float) and type(record.get("nimg")) is int:
                found.setdefault(name, {})[record["nimg"]] = value
    return found


def add(run: Path, identity: Mapping[str, Any], scores: Scores) -> None:
    """Appends a line; see `find`."""
    records.add_line(run / FILE, {**identity, **scores})
