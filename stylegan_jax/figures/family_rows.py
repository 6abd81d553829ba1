"""Samples of networks that were trained on the same data, with a score of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stylegan_jax import loading
from stylegan_jax.data.sources import open_source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.figures.score_curves import shared_scores
from stylegan_jax.figures.studio import Studio
from stylegan_jax.runs import run_directory


def family(
    runs: Sequence[Path],
    seeds: Sequence[int],
    *,
    titles: Sequence[str] = (),
    score: str | None = None,
    columns: int = 12,
    label: np.ndarray | None = None,
    psi: float = 1.0,
    batch_size: int = 8,
    cell: int = 96,
) -> np.ndarray:
    """Samples of each run's newest checkpoint above images of the data, `[H, W, 3]`.

    `titles` are by default the names of the runs. `score` is one that all runs have for
    these checkpoints, by default the first. `label` is `[1, label_size]` of conditional
    networks. The page is uint8; the data is the first run's. Raises UserError for runs
    without a checkpoint, a `score` that one of them lacks, and another number of
    titles.
    """
    if titles and len(titles) != len(runs):
        raise UserError(f"{len(titles)} `titles` for {len(runs)} runs; give each one")
    newest = [_newest(run) for run in runs]
    values = {
        name: [of_run[nimg] for of_run, nimg in zip(found, newest, strict=True)]
        for name, found in shared_scores(runs).items()
        if all(nimg in of_run for of_run, nimg in zip(found, newest, strict=True))
    }
    name = score or next(iter(values), None)
    if name is not None and name not in values:
        raise UserError(
            f"no score {name} is known of all runs' newest checkpoints, but "
            f"{', '.join(values) or 'none'}; take it by python -m "
            "stylegan_jax.evaluate RUN"
        )
    columns = min(columns, len(seeds))
    count = -(-len(seeds) // columns)
    rows: list[list[np.ndarray | None]] = []
    labels, studio = [], None
    for i, (run, nimg) in enumerate(zip(runs, newest, strict=True)):
        studio = Studio(loading.load(run), label, batch_size=batch_size, cell=cell)
        drawn = studio.draw(studio.ws(seeds, psi=psi))
        cells = [*drawn, *[None] * (count * columns - len(seeds))]
        rows += [cells[j * columns :][:columns] for j in range(count)]
        shown = f"{nimg / 1000:.0f} kimg"
        shown += f": {values[name][i]:.1f}" if name is not None else ""
        lines = [titles[i] if titles else run.absolute().name, shown]
        lines = lines if count > 1 else [", ".join(lines)]
        labels += [*lines, *[""] * (count - len(lines))]
    assert studio is not None
    source = open_source(run_directory.data_config(runs[0]))
    side = studio.generator.config.resolution
    places = spread(len(source), min(columns, len(source)))
    real = [source.image(int(place), side) for place in places]
    rows.append([*real, *[None] * (columns - len(real))])
    return studio.page(
        rows,
        row_labels=[*labels, "data"],
        row_groups=[*[("", count)] * len(runs), ("", 1)],
        column_groups=[(name, columns)] if name is not None else (),
    )


def _newest(run: Path) -> int:
    """Images shown to the newest checkpoint."""
    nimg = run_directory.shown(run)
    if nimg is None:
        raise UserError(f"{run} has no checkpoints; give a run directory with some")
    return nimg
