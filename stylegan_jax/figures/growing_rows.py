"""Progressive growing in action: the same seeds through the checkpoints of a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax import loading
from stylegan_jax.errors import UserError
from stylegan_jax.figures.film import SCREEN, Film
from stylegan_jax.figures.studio import Studio, rgb
from stylegan_jax.io.grids import Sheet, enlarge, make_sheet
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs import stored

_STRIP = 8  # checkpoints in the strip


class Moment(NamedTuple):
    """A checkpoint, drawn.

    Attributes:
        name: images shown, in thousands.
        size: the resolution, and how far it has faded in.
        pictures: of each seed, uint8 `[N, R, R, 3]` at the final resolution.
    """

    name: str
    size: str
    pictures: np.ndarray


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Images shown and path of the checkpoints of a run, oldest first.

    Raises:
        UserError: it is not a run, or has fewer than two.
    """
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
    psi: float = 0.7,
    hold: int = 10,
    batch_size: int = 8,
    cell: int = 96,
) -> Film:
    """The images of some seeds at each checkpoint, enlarged to the final resolution.

    Args:
        run: directory of a run.
        seeds: of unconditional networks.
        psi: truncation.
        hold: frames that each checkpoint stays on the screen.
        batch_size: as in `Studio`.
        cell: likewise.

    Raises:
        UserError: as `checkpoints`, or classes are needed.
    """
    moments: list[Moment] = []
    for nimg, path in checkpoints(run):
        generator = loading.load(path)
        if generator.config.label_size:
            raise UserError("growing draws unconditional networks only")
        studio = Studio(generator, batch_size=batch_size, cell=cell)
        moments.append(_moment(studio, nimg, seeds, psi))
    side = moments[0].pictures.shape[1]
    places = np.linspace(0, len(moments) - 1, min(_STRIP, len(moments)))
    shown = [moments[round(place)] for place in places]
    strip = make_sheet(
        len(seeds),
        len(shown),
        side,
        column_labels=[f"{moment.name} kimg" for moment in shown],
        column_groups=list(_runs([moment.size for moment in shown])),
        at_least=cell,
    ).fill([m.pictures[i] for i in range(len(seeds)) for m in shown])
    columns = round(len(seeds) ** 0.5)
    frames = _frames(moments, -(-len(seeds) // columns), columns, hold, SCREEN * cell)
    return Film(strip, frames, hold * len(moments))


def _moment(studio: Studio, nimg: int, seeds: Sequence[int], psi: float) -> Moment:
    generator: Generator = studio.generator
    drawn, side = studio.draw(studio.ws(seeds, psi=psi)), generator.config.resolution
    size = f"{generator.resolution} px"
    if generator.alpha is not None:
        size += f", α = {float(generator.alpha):.2g}"
    enlarged = [enlarge(rgb(picture), (side, side)) for picture in drawn]
    return Moment(f"{nimg / 1000:.0f}", size, np.stack(enlarged))


def _frames(
    moments: Sequence[Moment], rows: int, columns: int, hold: int, at_least: int
) -> Iterator[np.ndarray]:
    titles = [f"{moment.name} kimg, {moment.size}" for moment in moments]
    for title, moment in zip(titles, moments, strict=True):
        sheet: Sheet = make_sheet(
            rows,
            columns,
            moment.pictures.shape[1],
            column_groups=[(title, columns)],
            room_for=titles,
            at_least=at_least,
        )
        spare = rows * columns - len(moment.pictures)
        frame = sheet.fill([*moment.pictures, *[None] * spare])
        for _ in range(hold):
            yield frame


def _runs(labels: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Neighbours that are the same, and how many they are."""
    start = 0
    for place in range(1, len(labels) + 1):
        if place == len(labels) or labels[place] != labels[start]:
            yield labels[start], place - start
            start = place
