"""Sums of latents: a + t (c - b)."""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.figures.studio import Studio, rgb
from stylegan_jax.io.grids import make_sheet


def arithmetic(
    studio: Studio,
    a: Sequence[int],
    b: Sequence[int],
    c: Sequence[int],
    *,
    psi: float = 0.7,
) -> np.ndarray:
    """Images without something, b, and with it, c, change another one, a.

    The first three rows are the images of the seeds and, at the right, of their mean w;
    the last one goes from a's mean, at t = 0, along the difference of the other two.

    Args:
        studio: of any network with a mapping.
        a: seeds of what is to be changed, such as people of one kind.
        b: seeds of what is taken away, such as faces without a smile.
        c: seeds of what is put there, such as smiles.
        psi: truncation of all.

    Source: Radford et al. 2015 (DCGAN), figure 7, in w instead of z.
    """
    ws = [studio.ws(seeds, psi=psi) for seeds in (a, b, c)]
    means = [w.mean(0, keepdims=True) for w in ws]
    width = max(map(len, ws))
    strengths = np.linspace(0, 1, width + 1)
    steps = means[0] + strengths[:, None, None].astype("f") * (means[2] - means[1])
    cells: list[np.ndarray | None] = []
    for w, mean in zip(ws, means, strict=True):
        drawn = [rgb(picture) for picture in studio.draw(np.concatenate([w, mean]))]
        cells += [*drawn[:-1], *[None] * (width - len(w)), drawn[-1]]
    cells += map(rgb, studio.draw(steps))
    captions = [""] * (3 * (width + 1)) + [f"t = {t:.3g}" for t in strengths]
    sheet = make_sheet(
        4,
        width + 1,
        studio.resolution,
        row_labels=["a", "b", "c", "a + t (c − b)"],
        row_groups=[("", 3), ("", 1)],
        column_labels=[*[""] * width, "mean w"],
        captions=captions,
        at_least=studio.cell,
    )
    return sheet.fill(cells)
