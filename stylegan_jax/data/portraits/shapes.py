"""Drawing primitives of the portraits: frames, coverages, noise.

Pictures are planar float32 `[3, R, R]` in [0, 1] for speed. The frame is [-1, 1] x
[-1, 1] with y downwards; a pixel is `2 / R` wide.

A *coverage* is 1 inside a shape, 0 outside, with a ramp one pixel wide between.
Strokes are differences of two ramps, so thin ones keep their weight and a drawing at
R is close to the box mean of the one at 2 R.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Colour = np.ndarray  # float32 [3] in [0, 1]
Plane = np.ndarray  # float32 [h, w]
Level = float | Plane


class Frame(NamedTuple):
    """Coordinates of every pixel in one system, and the way back to the picture."""

    x: Plane
    y: Plane
    centre: tuple[float, float] = (0.0, 0.0)  # where its origin lies in the picture
    roll: float = 0.0  # radians, clockwise on screen
    turn: float = 0.0  # radians; wrapped round an upright cylinder turned by this
    radius: float = 1.0  # of that cylinder


class Patch(NamedTuple):
    """A paintable rectangle of the picture."""

    x: Plane
    y: Plane
    planes: np.ndarray  # float32 [3, h, w], a view into the picture
    pixel: float  # width of a pixel
    at: tuple[slice, slice]  # its rows and columns in the picture

    def paint(self, coverage: Plane, colour: Colour, opacity: float = 1.0) -> None:
        """Blends `colour` in by `coverage`, `[h, w]`."""
        if opacity != 1.0:
            coverage = coverage * opacity
        change = colour.reshape(3, 1, 1) - self.planes
        change *= coverage
        np.add(self.planes, change, out=self.planes)

    def inside(self, distance: Plane) -> np.ndarray:
        """Coverage from the signed distance (negative within)."""
        return inside(distance, self.pixel)

    def outline(self, distance: Plane, thickness: float) -> np.ndarray:
        """Coverage of a line `thickness` wide along an outline."""
        half = thickness / 2
        return self.inside(distance - half) - self.inside(distance + half)

    def lens(
        self, x: Plane, y: Plane, half_width: float, up: Level, down: Level, tilt=0.0
    ) -> Plane:
        """Coverage between two parabolas that meet at x = +-half_width.

        They rise by `up` above and fall by `down` below the chord; `tilt` lowers the
        end at +half_width. Level edges are exact, however thin the shape.
        """
        u = x * (1 / half_width)
        if tilt:
            y = y - tilt * u
        u *= u
        arch = 1 - u
        height = y * (1 / self.pixel)
        height += 0.5
        below_top = clamp(height + arch * (up * (1 / self.pixel)))
        below_top -= clamp(height - arch * (down * (1 / self.pixel)))
        return np.maximum(below_top, 0, out=below_top)

    def arc(
        self, x: Plane, y: Plane, half_width: float, bow: float, thick: float, tilt=0.0
    ) -> Plane:
        """Coverage of a stroke with pointed ends; `bow` > 0 lifts its middle."""
        half = thick / 2
        return self.lens(x, y, half_width, bow + half, half - bow, tilt)


@lru_cache(maxsize=16)
def pixel_centres(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame coordinates x and y of all pixel centres, each float32 `[R, R]`."""
    line = ((np.arange(resolution) + 0.5) * (2 / resolution) - 1).astype(np.float32)
    x, y = np.broadcast_arrays(line[None, :], line[:, None])
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def rolled_frame(frame: Frame, centre: tuple[float, float], roll: float) -> Frame:
    """Coordinates with their origin at `centre`, rotated by `roll` radians."""
    cos, sin = math.cos(roll), math.sin(roll)
    x, y = frame.x - centre[0], frame.y - centre[1]
    return Frame(cos * x + sin * y, cos * y - sin * x, centre, roll)


def turned_frame(frame: Frame, turn: float, radius: float, lower: float) -> Frame:
    """Coordinates on an upright cylinder turned by `turn` radians (yaw).

    x = 0 appears at `radius * sin(turn)`, foreshortened towards the edge; the origin
    moves down by `lower`.
    """
    depth = np.sqrt(np.maximum(radius**2 - frame.x * frame.x, 0))
    x = math.cos(turn) * frame.x - math.sin(turn) * depth
    centre = (frame.centre[0], frame.centre[1] + lower)
    return Frame(x, frame.y - lower, centre, frame.roll, turn, radius)


def patch(
    planes: np.ndarray, frame: Frame, box: tuple[float, float, float, float]
) -> Patch:
    """Pixels of `[3, R, R]` in a box (left, top, right, bottom in `frame`)."""
    resolution = planes.shape[-1]
    left, top, right, bottom = box
    if frame.turn:
        left, right = (
            x * math.cos(frame.turn)
            + math.sqrt(max(frame.radius**2 - x * x, 0.0)) * math.sin(frame.turn)
            for x in (left, right)
        )
    cos, sin = math.cos(frame.roll), math.sin(frame.roll)
    half_width, half_height = 0.5 * (right - left), 0.5 * (bottom - top)
    x, y = left + half_width, top + half_height
    middles = (frame.centre[1] + sin * x + cos * y, frame.centre[0] + cos * x - sin * y)
    halves = (
        abs(sin) * half_width + cos * half_height,
        cos * half_width + abs(sin) * half_height,
    )
    spans: list[slice] = []
    for middle, half in zip(middles, halves, strict=True):
        # Two pixels to spare on either side.
        first = int((middle - half + 1) * 0.5 * resolution) - 2
        last = int((middle + half + 1) * 0.5 * resolution) + 3
        spans.append(slice(max(first, 0), max(min(last, resolution), 0)))
    at = (spans[0], spans[1])
    return Patch(frame.x[at], frame.y[at], planes[:, *at], 2 / resolution, at)


def clamp(values: Plane, low: float = 0.0, high: float = 1.0) -> Plane:
    """In-place `np.clip` with less overhead on small arrays."""
    np.maximum(values, low, out=values)
    return np.minimum(values, high, out=values)


def inside(distance: Plane, pixel: float) -> Plane:
    """Coverage from the signed distance (negative within)."""
    coverage = distance * (-1 / pixel)
    coverage += 0.5
    return clamp(coverage)


def egg(
    x: Plane, y: Plane, radii: tuple[float, float], *, taper=0.0, square=0.0
) -> Plane:
    """Approximate signed distance to an ellipse about the origin.

    `taper` in [0, 1] narrows the lower half; `square` 1 is nearly a rectangle.
    """
    u, v = x * (1 / radii[0]), y * (1 / radii[1])
    if taper:
        low = np.maximum(v, 0)
        u = u * (1 + taper * low * low)
    u *= u
    v = v * v
    value = u + v
    if square:
        # Clamped, because u v grows beyond u + v far outside.
        value -= square * np.minimum(u, 1) * np.minimum(v, 1)
    slope = u * (4 / radii[0] ** 2)
    slope += v * (4 / radii[1] ** 2)
    slope += 1e-6
    value -= 1
    value /= np.sqrt(slope, out=slope)
    return value


def glow(x: Plane, y: Plane, radii: tuple[float, float]) -> np.ndarray:
    """Soft spot: 1 at the origin, falling smoothly to 0 at `radii`."""
    u, v = x * (1 / radii[0]), y * (1 / radii[1])
    fall = np.maximum(1 - u * u - v * v, 0)
    return fall * fall


def noise_line(values: list[np.ndarray], samples: int) -> np.ndarray:
    """Sum of periodic, linearly interpolated octaves whose lengths divide `samples`."""
    line = np.zeros(samples, np.float32)
    for knots in values:
        repeats = samples // len(knots)
        share = np.arange(repeats, dtype=np.float32) * (1 / repeats)
        rise = np.concatenate([knots[1:], knots[:1]]) - knots
        line += (knots[:, None] + rise[:, None] * share).ravel()
    return line


def noise_plane(rng: np.random.Generator, resolution: int) -> np.ndarray:
    """Noise `[R, R]`: +-1 on 32 x 32 knots and finer grids, the same at any R."""
    plane = 2 * rng.random((32, 32), dtype=np.float32) - 1
    while (knots := 2 * len(plane)) <= resolution:
        plane = _twice(_twice(plane).T).T
        plane += 2 * rng.random((knots, knots), dtype=np.float32)
        plane -= 1
    return plane


def _twice(plane: Plane) -> np.ndarray:
    """Interpolates `[n, m]` to `[2 n, m]`, nearly keeping box means."""
    padded = np.concatenate([plane[:1], plane, plane[-1:]])
    near = (0.75) * plane
    out = np.empty((2 * len(plane), plane.shape[1]), np.float32)
    out[0::2] = near + (0.25) * padded[:-2]
    out[1::2] = near + (0.25) * padded[2:]
    return out


def puffs(x: Plane, y: Plane, size: float, shifts: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest point of a jittered grid, in cells of `size`.

    `shifts` `[2, K, K]`, within +-0.25 cells, offset the points; K is a power of two.
    """
    across, down = x * (1 / size), y * (1 / size)
    column, row = np.floor(across), np.floor(down)
    across -= column
    down -= row
    column, row = column.astype(np.int32), row.astype(np.int32)
    period = shifts.shape[1]
    flat = shifts.reshape(2, -1)
    nearest = np.full_like(across, 9.0)
    for j in (0, 1):
        for i in (0, 1):
            cell = ((row + j) & (period - 1)) * period + ((column + i) & (period - 1))
            dx, dy = flat[0].take(cell), flat[1].take(cell)
            dx += i - across
            dy += j - down
            np.minimum(nearest, dx * dx + dy * dy, out=nearest)
    return nearest
