"""Uncurated samples, truncation, and latent arithmetic."""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.figures.studio import CUTOFF, Studio


def uncurated(
    studio: Studio,
    seeds: Sequence[int],
    *,
    psis: Sequence[float] = (1.0, 0.7, 0.5),
    cutoff: int | None = CUTOFF,
    columns: int = 8,
) -> np.ndarray:
    """The same seeds at several truncations, uint8 `[H, W, 3]`.

    Source: Karras et al. 2018, figure 2 (psi 0.7, up to 32 px).
    """
    names = [_named(psi) for psi in psis]
    if studio.generator.truncation_mean is None:
        psis, names = (1.0,), [""]  # there is nothing to truncate to
    columns = min(columns, len(seeds))
    count = -(-len(seeds) // columns)
    rows: list[list[np.ndarray | None]] = []
    for psi in psis:
        drawn = studio.draw(studio.ws(seeds, psi=psi, cutoff=cutoff))
        cells = [*drawn, *[None] * (count * columns - len(seeds))]
        rows += [cells[i * columns :][:columns] for i in range(count)]
    return studio.page(rows, row_groups=[(name, count) for name in names])


def truncation(
    studio: Studio,
    seeds: Sequence[int],
    *,
    psis: Sequence[float] = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0),
) -> np.ndarray:
    """Seeds at several truncations of all layers, uint8 `[H, W, 3]`.

    1 is the image of the seed, 0 the mean image, negative values are opposites.

    Source: Karras et al. 2018, figure 8; `draw_truncation_trick_figure`,
    `generate_figures.py` of NVlabs/stylegan.
    """
    studio.require("a mean of w", "truncation")
    by_psi = [studio.ws(seeds, psi=psi, cutoff=None) for psi in psis]
    drawn = studio.draw(np.concatenate(by_psi))
    rows = [[*drawn[place :: len(seeds)]] for place in range(len(seeds))]
    return studio.page(rows, column_labels=[_named(psi) for psi in psis])


def arithmetic(
    studio: Studio,
    a: Sequence[int],
    b: Sequence[int],
    c: Sequence[int],
    *,
    psi: float = 0.7,
) -> np.ndarray:
    """Latent arithmetic, a + t (c - b), on means of w over seeds; uint8 `[H, W, 3]`.

    The first three rows are the seeds' images and, at the right, of their mean w; the
    last one goes from a's mean, at t = 0, along c - b.

    Source: Radford et al. 2015 (DCGAN), figure 7, in w instead of z.
    """
    ws = [studio.ws(seeds, psi=psi) for seeds in (a, b, c)]
    means = [w.mean(0, keepdims=True) for w in ws]
    width = max(map(len, ws))
    strengths = np.linspace(0, 1, width + 1)
    steps = means[0] + strengths[:, None, None].astype("f") * (means[2] - means[1])
    rows: list[list[np.ndarray | None]] = []
    for w, mean in zip(ws, means, strict=True):
        *drawn, last = studio.draw(np.concatenate([w, mean]))
        rows.append([*drawn, *[None] * (width - len(w)), last])
    rows.append([*studio.draw(steps)])
    return studio.page(
        rows,
        row_labels=["a", "b", "c", "a + t (c − b)"],
        row_groups=[("", 3), ("", 1)],
        column_labels=[*[""] * width, "mean w"],
        captions=[""] * (3 * (width + 1)) + [f"t = {t:.3g}" for t in strengths],
    )


def _named(psi: float) -> str:
    return f"ψ = {psi:g}".replace("-", "−")
