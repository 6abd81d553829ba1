"""Progressive growing: the same seeds at each checkpoint of a run."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.figures.studio import Film, Studio
from stylegan_jax.io.grids import enlarge
from stylegan_jax.runs import stored

_STRIP = 8  # checkpoints in the strip


class Moment(NamedTuple):
    """Images of a checkpoint, uint8 `[R, R, C]` each at the final resolution.

    `name` is images shown, in thousands; `size` the resolution and its fade-in.
    """

    name: str
    size: str
    pictures: list[np.ndarray]


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Images shown and path of checkpoints, by age; UserError if fewer than two."""
    found = sorted(stored.step_directories(run / "checkpoints"))
    if len(found) < 2:
        raise UserError(
            f"{run} has {len(found)} checkpoints; give a run directory with two or "
            "more (`checkpoint.keep_every_kimg` keeps them while it trains)"
        )
    return found


def growing(
    run: Path,
    seeds: Sequence[int],
    *,
    label: np.ndarray | None = None,
    psi: float = 0.7,
    hold: int = 10,
    batch_size: int = 8,
    cell: int = 96,
) -> Film:
    """Images of seeds at each checkpoint, each shown for `hold` frames.

    They are enlarged to the final resolution. `label` is `[1, label_size]` of a
    conditional network.
    """
    moments: list[Moment] = []
    for nimg, path in checkpoints(run):
        generator = loading.load(path)
        studio = Studio(generator, label, batch_size=batch_size, cell=cell)
        side = generator.config.resolution
        size = f"{generator.resolution} px"
        if generator.alpha is not None:
            size += f", α = {float(generator.alpha):.2g}"
        drawn = studio.draw(studio.ws(seeds, psi=psi))
        enlarged = [enlarge(picture, (side, side)) for picture in drawn]
        moments.append(Moment(f"{nimg / 1000:.0f}", size, enlarged))
    places = np.linspace(0, len(moments) - 1, min(_STRIP, len(moments)))
    shown = [moments[round(place)] for place in places]
    sizes = itertools.groupby(moment.size for moment in shown)
    strip = studio.page(
        list(zip(*(moment.pictures for moment in shown), strict=True)),
        column_labels=[f"{moment.name} kimg" for moment in shown],
        column_groups=[(size, len([*group])) for size, group in sizes],
    )
    return Film(strip, _frames(studio, moments, hold), hold * len(moments))


def _frames(
    studio: Studio, moments: Sequence[Moment], hold: int
) -> Iterator[np.ndarray]:
    count = len(moments[0].pictures)
    columns = round(count**0.5)
    rows = -(-count // columns)
    titles = [f"{moment.name} kimg, {moment.size}" for moment in moments]
    for title, moment in zip(titles, moments, strict=True):
        sheet = studio.screen(
            rows,
            columns,
            side=len(moment.pictures[0]),
            column_groups=[(title, columns)],
            room_for=titles,
        )
        spare: list[None] = [None] * (rows * columns - count)
        frame = sheet.fill([*moment.pictures, *spare])
        for _ in range(hold):
            yield frame
