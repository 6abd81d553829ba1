"""Plots by matplotlib: distributions, curves, panels of lines."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import grids

_INCHES, _DPI = 2.2, 110  # of a panel
_BINS = 120

Numbers = Sequence[float] | np.ndarray


def panels(
    pictures: Sequence[tuple[str, np.ndarray]],
    *,
    span: tuple[float, float] = (-1.0, 1.0),
    row_labels: Sequence[str] = (),
) -> np.ndarray:
    """Draws distributions side by side, with titles; uint8 `[H, W, 3]`.

    There are seven in a row, or as many as `row_labels` leave.

    Samples are points on the line `[N, 1]` (a histogram), in the plane `[N, 2]` (a
    density) within `span`, or images, uint8 `[N, H, W, C]` (a grid).
    """
    columns = len(pictures) // len(row_labels) if row_labels else 7
    figure, axes = axes_of(len(pictures), columns, (_INCHES, _INCHES))
    for axis, label in zip(axes[::columns], row_labels, strict=False):
        axis.set_ylabel(label, fontsize=10)
    for axis, (title, samples) in zip(axes, pictures, strict=True):
        axis.set_title(title, fontsize=10)
        if samples.ndim == 4:
            grid = grids.grid(samples, columns=round(len(samples) ** 0.5))
            axis.imshow(grid.squeeze(), cmap="gray")
            axis.set_axis_off()
        elif samples.shape[1:] == (2,):
            axis.imshow(density(samples, span), origin="lower", cmap="viridis")
            axis.set(xticks=[], yticks=[])
        elif samples.shape[1:] == (1,):
            axis.hist(samples[:, 0], _BINS, span, density=True, color="tab:green")
            axis.set(xlim=span, yticks=[])
        else:
            raise UserError(f"samples of shape {samples.shape} cannot be drawn")
    return pixels_of(figure)


def curves(
    lines: Mapping[str, np.ndarray], *, title: str, x_label: str, y_label: str
) -> np.ndarray:
    """Draws positive numbers on a log scale, line after line; uint8 `[H, W, 3]`."""
    ends = itertools.accumulate(map(len, lines.values()))
    placed = {
        name: (np.arange(end - len(values), end), values)
        for (name, values), end in zip(lines.items(), ends, strict=True)
    }
    return log_lines(placed, title=title, x_label=x_label, y_label=y_label)


def log_lines(
    lines: Mapping[str, tuple[Numbers, Numbers]],
    *,
    title: str = "",
    x_label: str,
    y_label: str,
    width: int = 704,
    at: float | None = None,
) -> np.ndarray:
    """Draws lines, names to (x, y), on a log scale; uint8 `[H, width, 3]`.

    `at` is the place of a vertical line.
    """
    inches = (width + 0.5) / _DPI, 3.6
    figure, (axis,) = axes_of(1 if lines else 0, 1, inches)
    for name, (x, y) in lines.items():
        axis.plot(x, y, label=name, lw=1)
    if at is not None:
        axis.axvline(at, color="gray", lw=1)
    axis.set(title=title, xlabel=x_label, ylabel=y_label, yscale="log")
    axis.legend()
    return pixels_of(figure)


def panels_of_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    x_label: str,
    from_zero: bool = True,
) -> np.ndarray:
    """Draws lines with dots, panel by panel; uint8 `[H, W, 3]`.

    `panels` maps titles to lines: names to (x, y). `from_zero`: y axes begin at 0.
    """
    figure, axes = axes_of(len(panels), 3, (3.0, 2.4))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for name, (x, y) in lines.items():
            axis.plot(x, y, marker="o", ms=3, lw=1.2, label=name)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(x_label, fontsize=8)
        axis.tick_params(labelsize=8)
        if from_zero:
            axis.set_ylim(bottom=0)
        if len(lines) > 1:
            axis.legend(fontsize=8)
    return pixels_of(figure)


def density(points: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Density of points in the plane on a grid over `span`, `[y, x]`, at most 1.

    Root of a histogram smoothed by [1, 2, 1], so that faint bridges between modes show.
    """
    counts, _, _ = np.histogram2d(
        points[:, 1], points[:, 0], bins=_BINS, range=(span, span)
    )
    for axis in (0, 1):
        before, after = np.roll(counts, 1, axis), np.roll(counts, -1, axis)
        counts = (before + 2 * counts + after) / 4
    return np.sqrt(counts / max(counts.max(), 1e-12))


def axes_of(
    count: int, columns: int, inches: tuple[float, float]
) -> tuple[Any, list[Any]]:
    """A matplotlib figure with `count` axes of `inches`; UserError if none."""
    # Here, because it takes half a second and most runs draw no plots.
    from matplotlib.figure import Figure

    if not count:
        raise UserError("nothing to draw: no panels or lines")
    columns = min(columns, count)
    rows = -(-count // columns)
    size = columns * inches[0], rows * inches[1]
    figure = Figure(size, dpi=_DPI, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def pixels_of(figure: Any) -> np.ndarray:
    """The figure, uint8 `[H, W, 3]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
