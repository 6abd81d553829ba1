"""Effects of noise: by layers, and stochastic variation."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from stylegan_jax.editing.rows import rows_of_18
from stylegan_jax.figures.studio import (
    Studio,
    as_grey,
    gain_for,
    grey_levels,
)
from stylegan_jax.inversion.code import stored_noise
from stylegan_jax.io import images
from stylegan_jax.io.grids import enlarge, make_sheet
from stylegan_jax.networks.generator import Noise

_FINE = tuple(range(8, 18))  # of 18 layers: 64 px and above
_CROPS = 4
_FRAME = (220, 40, 40)  # colour of the square around the crop


def noise_layers(
    studio: Studio, seeds: Sequence[int], *, psi: float = 1.0
) -> np.ndarray:
    """Noise on all layers, none, fine and coarse ones; its effects; uint8 `[H, W, 3]`.

    Source: Karras et al. 2018, figure 5; `draw_noise_components_figure`,
    `generate_figures.py` of NVlabs/stylegan, with the stored noise. Differs: networks
    with fewer layers divide them at the same depth (`editing.rows.rows_of_18`).
    """
    studio.require("noise", "noise on some layers")
    layers = studio.num_layers
    fine = rows_of_18(_FINE, layers)
    coarse = tuple(i for i in range(layers) if i not in fine)
    kinds = {
        "all": tuple(range(layers)),
        "none": (),
        f"fine, {_sizes(fine)}": fine,
        f"coarse, {_sizes(coarse)}": coarse,
    }
    ws = studio.ws(seeds, psi=psi)
    drawn = [studio.draw(ws, _only(studio, kept)) for kept in kinds.values()]
    none = drawn[list(kinds).index("none")]
    changes = [np.abs(grey_levels(d) - grey_levels(none)) for d in drawn]
    gain = gain_for(np.stack(changes))
    rows: list[list[np.ndarray]] = []
    for row in range(len(seeds)):
        rows.append([pictures[row] for pictures in drawn])
        rows.append([as_grey(gain * change[row]) for change in changes])
    return studio.page(
        rows,
        row_labels=["image", f"change × {gain:g}"] * len(seeds),
        row_groups=[(f"seed {seed}", 2) for seed in seeds],
        column_labels=list(kinds),
        column_groups=[("noise on these layers", len(kinds))],
    )


def stochastic_variation(
    studio: Studio,
    seeds: Sequence[int],
    *,
    count: int = 100,
    crop: tuple[float, float, float] = (0.25, 0.0, 0.5),
    psi: float = 1.0,
    gain: float | None = None,
) -> np.ndarray:
    """An image, a crop with other noise, deviations of pixels: uint8 `[H, W, 3]`.

    `count` noises, at least 4, give the standard deviation; `crop` is left, top and
    side in fractions of the image. `gain` brightens the deviation in grey levels: None
    is the largest power of two that keeps 99% of pixels below white; the paper's is 4.

    Source: Karras et al. 2018, figure 4; `draw_noise_detail_figure`,
    `generate_figures.py` of NVlabs/stylegan.
    """
    studio.require("noise", "stochastic variation")
    left, top, side = _box(crop, studio.resolution)
    rows: list[list[np.ndarray]] = []
    deviations: list[np.ndarray] = []
    for seed, w in zip(seeds, studio.ws(seeds, psi=psi), strict=True):
        many = studio.draw_fresh(np.broadcast_to(w, (count, *w.shape)), seed)
        first = list(itertools.islice(many, _CROPS))
        deviations.append(deviation(itertools.chain(first, many)))
        crops = [p[top : top + side, left : left + side] for p in first]
        rows.append([images.convert_channels(first[0], 3), *crops])
    gain = gain_for(np.stack(deviations)) if gain is None else gain
    sheet = make_sheet(
        len(seeds),
        _CROPS + 2,
        studio.resolution,
        column_labels=["image", *[""] * _CROPS, f"std × {gain:g}"],
        column_groups=[
            ("", 1),
            ("four of its noises", _CROPS),
            (f"{count} noises", 1),
        ],
        at_least=studio.cell,
    )
    cells: list[np.ndarray | None] = []
    for (picture, *crops), levels in zip(rows, deviations, strict=True):
        box = tuple(x * sheet.size[0] // studio.resolution for x in (left, top, side))
        cells += [framed(enlarge(picture, sheet.size), box)]
        cells += [*crops, as_grey(gain * levels)]
    return sheet.fill(cells)


def deviation(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Standard deviation of each pixel's grey level, float64 `[H, W]`.

    Source: `draw_noise_detail_figure`: `np.std` of the mean over channels.
    """
    total = squares = count = 0
    for picture in pictures:
        levels = grey_levels(picture)
        total, squares, count = total + levels, squares + levels**2, count + 1
    variance = squares / count - (total / count) ** 2
    return np.sqrt(np.maximum(variance, 0))


def framed(picture: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    """Picture with a red square just inside `box`: left, top and side."""
    left, top, side = box
    line = max(2, picture.shape[0] // 64)
    made = picture.copy()
    made[top : top + side, left : left + side] = _FRAME
    inside = tuple(slice(x + line, x + side - line) for x in (top, left))
    made[inside] = picture[inside]
    return made


def _only(studio: Studio, layers: Sequence[int]) -> Noise:
    """Stored noise, zero on all other layers."""
    stored = stored_noise(studio.generator, 1)
    return tuple(
        noise if layer in layers else noise * 0 for layer, noise in enumerate(stored)
    )


def _sizes(layers: Sequence[int]) -> str:
    first, last = (2 ** (layer // 2 + 2) for layer in (layers[0], layers[-1]))
    return f"{first} px" if first == last else f"{first}–{last} px"


def _box(crop: tuple[float, float, float], resolution: int) -> tuple[int, int, int]:
    """Crop in pixels; its side divides the resolution, so that it can be enlarged."""
    left, top, side = crop
    wanted = max(1, round(side * resolution))
    size = max(n for n in range(1, wanted + 1) if resolution % n == 0)
    spare = resolution - size
    x, y = round(left * resolution), round(top * resolution)
    return min(max(x, 0), spare), min(max(y, 0), spare), size
