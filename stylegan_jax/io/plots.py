"""Plots for people, made with matplotlib and nothing else that uses it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import grids

_INCHES, _DPI = 2.2, 110  # of a panel
_BINS = 120


def panels(
    pictures: Sequence[tuple[str, np.ndarray]],
    *,
    span: tuple[float, float] = (-1.0, 1.0),
    columns: int = 7,
) -> np.ndarray:
    """Draws distributions side by side, each with a title.

    Args:
        pictures: title and samples of each panel. Samples are points on the line
            `[N, 1]` (a histogram), in the plane `[N, 2]` (a density), or images,
            uint8 `[N, H, W, C]` (a grid).
        span: lowest and highest coordinate shown of points.
        columns: panels in a row.

    Returns:
        The picture, uint8 `[H, W, 3]`.

    Raises:
        UserError: samples of another shape, or no panels.
    """
    if not pictures:
        raise UserError("no panels to draw")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = _figure(columns * _INCHES, rows * _INCHES)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, samples) in zip(axes, pictures, strict=False):
        axis.set_title(title, fontsize=10)
        if samples.ndim == 4:
            grid = grids.grid(samples, columns=round(len(samples) ** 0.5))
            axis.imshow(grid.squeeze(), cmap="gray")
            axis.set_axis_off()
        elif samples.shape[1:] == (2,):
            axis.imshow(density(samples, span), origin="lower", cmap="viridis")
            axis.set_xticks([])
            axis.set_yticks([])
        elif samples.shape[1:] == (1,):
            axis.hist(samples[:, 0], _BINS, span, density=True, color="tab:green")
            axis.set_xlim(*span)
            axis.set_yticks([])
        else:
            raise UserError(f"samples of shape {samples.shape} cannot be drawn")
    for axis in axes[len(pictures) :]:
        axis.set_axis_off()
    return _pixels(figure)


def curves(
    lines: Mapping[str, np.ndarray], *, title: str, x_label: str, y_label: str
) -> np.ndarray:
    """Draws positive numbers in sequence, each line from left to right, on a log scale.

    Args:
        lines: by name; a line goes on where the one before it ended.
        title: above.
        x_label: below.
        y_label: at the left.

    Returns:
        The picture, uint8 `[H, W, 3]`.

    Raises:
        UserError: no lines.
    """
    if not lines:
        raise UserError("no lines to draw")
    figure = _figure(6.4, 3.6)
    axis = figure.subplots()
    start = 0
    for name, values in lines.items():
        axis.plot(np.arange(start, start + len(values)), values, label=name, lw=1)
        start += len(values)
    axis.set(title=title, xlabel=x_label, ylabel=y_label, yscale="log")
    axis.legend()
    return _pixels(figure)


def panels_of_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    x_label: str,
    columns: int = 3,
) -> np.ndarray:
    """Draws lines with a dot at every point, panel by panel, from zero upwards.

    Args:
        panels: by title, lines by name: x and y.
        x_label: below every panel.
        columns: panels in a row.

    Returns:
        The picture, uint8 `[H, W, 3]`.

    Raises:
        UserError: no panels.
    """
    if not panels:
        raise UserError("no panels to draw")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(columns * 3.0, rows * 2.4)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, lines) in zip(axes, panels.items(), strict=False):
        for name, (x, y) in lines.items():
            axis.plot(x, y, marker="o", ms=3, lw=1.2, label=name)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(x_label, fontsize=8)
        axis.tick_params(labelsize=8)
        axis.set_ylim(bottom=0)
        if len(lines) > 1:
            axis.legend(fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return _pixels(figure)


def density(points: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Density of points in the plane on a grid over `span`, `[y, x]`, at most 1.

    A histogram smoothed by [1, 2, 1] along both axes; the root of it, so that faint
    bridges between modes can be seen.
    """
    counts, _, _ = np.histogram2d(
        points[:, 1], points[:, 0], bins=_BINS, range=(span, span)
    )
    for axis in (0, 1):
        before, after = np.roll(counts, 1, axis), np.roll(counts, -1, axis)
        counts = (before + 2 * counts + after) / 4
    return np.sqrt(counts / max(counts.max(), 1e-12))


def _figure(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    # Here, because it takes half a second and most runs draw no plots.
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=_DPI, layout="constrained")


def _pixels(figure: Any) -> np.ndarray:
    """The figure drawn, uint8 `[H, W, 3]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
