"""Samples as they come, and what truncation does to them."""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.figures.studio import CUTOFF, Studio, rgb
from stylegan_jax.io.grids import make_sheet


def uncurated(
    studio: Studio,
    seeds: Sequence[int],
    *,
    psis: Sequence[float] = (1.0, 0.7, 0.5),
    cutoff: int | None = CUTOFF,
    columns: int = 8,
) -> np.ndarray:
    """The same seeds at several strengths of truncation, none left out.

    Source: Karras et al. 2018, figure 2 (psi 0.7, up to 32 px).
    """
    names = [_named(psi) for psi in psis]
    if studio.generator.truncation_mean is None:
        psis, names = (1.0,), [""]  # there is nothing to truncate to
    rows = -(-len(seeds) // columns)
    sheet = make_sheet(
        rows * len(psis),
        min(columns, len(seeds)),
        studio.resolution,
        row_groups=[(name, rows) for name in names],
        at_least=studio.cell,
    )
    width = min(columns, len(seeds))
    blanks = [None] * (rows * width - len(seeds))
    cells: list[np.ndarray | None] = []
    for psi in psis:
        drawn = studio.draw(studio.ws(seeds, psi=psi, cutoff=cutoff))
        cells += [*map(rgb, drawn), *blanks]
    return sheet.fill(cells)


def truncation(
    studio: Studio,
    seeds: Sequence[int],
    *,
    psis: Sequence[float] = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0),
) -> np.ndarray:
    """Seeds towards the mean image, and beyond to their opposites; in all layers.

    Raises:
        UserError: the network has no mean of w.

    Source: Karras et al. 2018, figure 8; `draw_truncation_trick_figure`,
    `generate_figures.py` of NVlabs/stylegan.
    """
    studio.need_mean("truncation")
    names = [_named(psi) for psi in psis]
    by_psi = [studio.ws(seeds, psi=psi, cutoff=None) for psi in psis]
    drawn = studio.draw(np.stack(by_psi, axis=1).reshape(-1, *by_psi[0].shape[1:]))
    sheet = make_sheet(
        len(seeds),
        len(psis),
        studio.resolution,
        column_labels=names,
        at_least=studio.cell,
    )
    return sheet.fill([*map(rgb, drawn)])


def _named(psi: float) -> str:
    return f"ψ = {psi:g}".replace("-", "−")
