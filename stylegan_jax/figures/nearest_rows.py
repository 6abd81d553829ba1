"""Samples and the nearest images of the data."""

import numpy as np

from stylegan_jax.figures.studio import Studio
from stylegan_jax.metrics.nearest_images import Neighbours


def nearest(
    studio: Studio, samples: np.ndarray, found: Neighbours, *, columns: int = 8
) -> np.ndarray:
    """Each sample above its nearest images, with distances, uint8 `[H, W, 3]`.

    Source: Goodfellow et al. 2014, figure 2.
    """
    count, columns = found.images.shape[1], min(columns, len(samples))
    rows: list[list[np.ndarray | None]] = []
    captions: list[str] = []
    for start in range(0, len(samples), columns):
        part = slice(start, start + columns)
        empty = columns - len(samples[part])
        rows.append([*samples[part], *[None] * empty])
        captions += [""] * columns
        for rank in range(count):
            rows.append([*found.images[part, rank], *[None] * empty])
            captions += [f"{x:.1f}" for x in found.distances[part, rank]]
            captions += [""] * empty
    groups = -(-len(samples) // columns)
    names = ["sample", "nearest", *(f"{i + 1}. nearest" for i in range(1, count))]
    return studio.page(
        rows,
        row_labels=names * groups,
        row_groups=[("", count + 1)] * groups,
        captions=captions,
    )
