"""Why growing is fast: samples and scores of runs over their time of training.

Source: Karras et al. 2017, section 6.2 and figure 4.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.figures.growing_rows import checkpoints
from stylegan_jax.figures.score_curves import run_names, shared_scores
from stylegan_jax.figures.studio import Studio
from stylegan_jax.io import plots, records
from stylegan_jax.io.grids import enlarge, stacked


class Clock(NamedTuple):
    """Images shown, ascending int64 `[N]`, and seconds of training until then."""

    nimg: np.ndarray
    seconds: np.ndarray

    def at(self, nimg: float) -> float:
        """Seconds of training until an image count, straight in between."""
        return float(np.interp(nimg, self.nimg, self.seconds))


def clock_of(run: Path) -> Clock:
    """Time of training by the rates that a run recorded, from 0.

    Compiling, saving, scoring and pauses are left out. Raises UserError without rates.
    """
    log = records.read_log(run / "metrics.jsonl", {"nimg": int}, inside=run)
    ticks = {
        x["nimg"]: x["images_per_second"] for x in log if x.get("images_per_second")
    }
    if not ticks:
        raise UserError(f"{run} has no record of its speed (metrics.jsonl)")
    nimg = np.array(sorted({0, *ticks}))
    seconds = [np.diff(nimg)[i] / ticks[n] for i, n in enumerate(nimg[1:].tolist())]
    return Clock(nimg, np.concatenate([[0.0], np.cumsum(seconds)]))


def growing_speed(
    runs: Sequence[Path],
    seeds: Sequence[int],
    *,
    score: str | None = None,
    columns: int = 6,
    label: np.ndarray | None = None,
    psi: float = 0.7,
    batch_size: int = 8,
    cell: int = 96,
) -> np.ndarray:
    """Samples of runs after equal times, and a score over time, uint8 `[H, W, 3]`.

    Captions are the images shown until then. `score` is by default the first that all
    runs recorded; values of smaller images than a run's last are left out, as they do
    not compare. `label` is `[1, label_size]` of conditional networks. Raises UserError
    for runs without checkpoints, rates or scores.
    """
    runs = list(dict.fromkeys(runs))
    names = run_names(runs)
    clocks = {run: clock_of(run) for run in runs}
    known = shared_scores(runs)
    name = score or next(iter(known), None)
    if name not in known:
        raise UserError(
            f"no score{f' {score}' if score else ''} is known of all runs; take one of "
            "each checkpoint by python -m stylegan_jax.evaluate "
            "RUN/checkpoints/CHECKPOINT, or set `metrics.names` in training"
        )
    end = min(clock.seconds[-1] for clock in clocks.values())
    times = end * np.arange(1, columns + 1) / columns
    rows, captions, studio = [], [], None
    for run, clock in clocks.items():
        saved = [(clock.at(nimg), nimg, path) for nimg, path in checkpoints(run)]
        cells, below = [], []
        for time in times:
            _, nimg, path = [saved[0], *(x for x in saved if x[0] <= time)][-1]
            generator = loading.load(path)
            studio = Studio(generator, label, batch_size=batch_size, cell=cell)
            side = generator.config.resolution
            drawn = studio.draw(studio.ws(seeds, psi=psi))
            cells.append([enlarge(picture, (side, side)) for picture in drawn])
            below.append(f"{nimg / 1000:.0f} kimg")
        rows += [list(row) for row in zip(*cells, strict=True)]
        captions += [*[""] * (len(seeds) - 1) * columns, *below]
    assert studio is not None
    page = studio.page(
        rows,
        row_groups=[(title, len(seeds)) for title in names],
        column_labels=[f"{time / 60:.1f} min" for time in times],
        captions=captions,
    )
    over_time, over_images = {}, {}
    for title, run, of_run in zip(names, runs, known[name], strict=True):
        clock, found = clocks[run], sorted(_of_full_size(run, of_run).items())
        values = [value for _, value in found]
        over_time[title] = ([clock.at(nimg) / 60 for nimg, _ in found], values)
        over_images[title] = ([nimg / 1000 for nimg, _ in found], values)
    panels = {f"{name} over minutes": over_time, f"{name} over kimg": over_images}
    curves = plots.panels_of_lines(panels, x_label="")
    return stacked([page, curves])


def _of_full_size(run: Path, of_run: dict[int, float]) -> dict[int, float]:
    log = records.read_log(run / "metrics.jsonl", {"nimg": int}, inside=run)
    sizes = {x["nimg"]: x["resolution"] for x in log if "resolution" in x}
    full = max(sizes.values(), default=None)
    return {nimg: x for nimg, x in of_run.items() if sizes.get(nimg, full) == full}
