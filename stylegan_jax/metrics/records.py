"""Measures that were taken of a run, one JSON line each: `evaluations.jsonl`.

{"metric": "fid5k", "fid5k": 12.3, "nimg": 80000, "seed": 0, "network": "...",
 "settings": {...}}
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "evaluations.jsonl"
Scores = dict[str, float]


def find(run: Path, identity: Mapping[str, Any]) -> Scores | None:
    """The scores of the last line with this identity, None if there is none.

    Args:
        run: the run directory.
        identity: "metric", "seed", "network" (a digest) and "settings", as JSON.
    """
    path = run / FILE
    if not path.exists():
        return None
    for line in reversed(path.read_text().splitlines()):
        try:
            record = json.loads(line)
        except ValueError:  # cut off by a crash
            continue
        if isinstance(record, dict) and identity.items() <= record.items():
            return {k: v for k, v in record.items() if k not in {*identity, "nimg"}}
    return None


def history(run: Path) -> dict[str, dict[int, float]]:
    """Every score of the run by name and images shown; the last line counts."""
    found: dict[str, dict[int, float]] = {}
    path = run / FILE
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # cut off by a crash
            continue
        if not isinstance(record, dict) or not isinstance(record.get("nimg"), int):
            continue
        for name, value in record.items():
            if isinstance(value, float):
                found.setdefault(name, {})[record["nimg"]] = value
    return found


def add(run: Path, identity: Mapping[str, Any], scores: Scores) -> None:
    """Adds a line; see `find`."""
    with open(run / FILE, "a") as file:
        file.write(json.dumps({**identity, **scores}) + "\n")
