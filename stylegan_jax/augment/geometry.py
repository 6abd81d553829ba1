"""Affine transformation of images without aliasing.

Images are continued by reflection, enlarged by two, sampled bilinearly and reduced by
two; the low-pass filter of both is sym6's, as a matrix product along each axis. The
identity is exact but for rounding.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited
Data", appendix B.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import linear_call

from stylegan_jax.augment.values import Values

# Low-pass filter of the wavelet, Daubechies 1992, table 8.3.
_SYM6 = np.array(
    [
        *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057),
        *(-0.048311742585633, 0.4910559419267466, 0.787641141030194),
        *(0.3379294217276218, -0.07263752278646252, -0.021060292512300564),
        *(0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
    ]
)
_TAPS = len(_SYM6)
# Pixels beyond each edge that the filter of the reduction reaches.
_EDGE = _TAPS // 4


def matrices(values: Values, size: int) -> Array:
    """Maps from output to input pixels, `[N, 3, 3]`, on (x, y, 1) from the centre."""
    count = len(next(iter(values.values())))
    result = jnp.tile(jnp.eye(3), (count, 1, 1))

    def follow(a: Array, b: Array, c: Array, d: Array, shift: Array | None) -> Array:
        x, y = (0 * a, 0 * a) if shift is None else (shift[:, 0], shift[:, 1])
        rows = [a, b, x, c, d, y, 0 * a, 0 * a, 0 * a + 1]
        step = jnp.stack(rows, axis=-1).reshape(-1, 3, 3)
        return jnp.matmul(result, step, precision=lax.Precision.HIGHEST)

    def rotate(angle: Array) -> Array:
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return follow(cos, -sin, sin, cos, None)

    one, zero = jnp.ones(count), jnp.zeros(count)
    if "xflip" in values:
        result = follow(1 - 2 * values["xflip"], zero, zero, one, None)
    if "rotate90" in values:
        turns = values["rotate90"]
        cos = jnp.where(turns == 0, one, zero) - jnp.where(turns == 2, one, zero)
        sin = jnp.where(turns == 1, one, zero) - jnp.where(turns == 3, one, zero)
        result = follow(cos, -sin, sin, cos, None)
    if "xint" in values:
        result = follow(one, zero, zero, one, -jnp.round(values["xint"] * size))
    if "scale" in values:
        result = follow(1 / values["scale"], zero, zero, 1 / values["scale"], None)
    if "rotate" in values:
        result = rotate(values["rotate"])
    if "aniso" in values:
        result = follow(1 / values["aniso"], zero, zero, values["aniso"], None)
    if "rotate_after" in values:
        result = rotate(values["rotate_after"])
    if "xfrac" in values:
        result = follow(one, zero, zero, one, -values["xfrac"] * size)
    return result


def warp(images: Array, transforms: Array) -> Array:
    """Images `[N, H, H, C]` under `matrices`; linear in the images."""
    size = images.shape[1]
    table = Table(size)
    x = jnp.transpose(images, (0, 3, 1, 2))
    x = _along_both(x, table.enlarging)
    # Computed once: XLA would fuse it into every loop that samples.
    taps = lax.optimization_barrier(_taps(transforms, table))
    x = _sample(x, *taps)
    x = _along_both(x, _reducing(size))
    warped = jnp.transpose(x, (0, 2, 3, 1))
    still = jnp.all(transforms == jnp.eye(3)[None], axis=(1, 2))
    return jnp.where(still[:, None, None, None], images, warped)


class Table:
    """Distinct rows of the enlarged image, and where each row is found.

    Reflection over `size - 1` pixels at each edge is periodic: stored are one period,
    the rows at both ends, where the filter meets the zeros beyond, and last a row of
    zeros. `rows` counts the enlarged image's; `enlarging` is `[rows stored, size]`.
    """

    def __init__(self, size: int) -> None:
        """The table for images of `size` pixels."""
        self.rows = 2 * (3 * size - 2)
        start, end = _TAPS // 2, self.rows - (_TAPS // 2 - 1)
        period = 2 * (2 * size - 2)
        # Rows from `_repeat` on are `period` further up, those from `_end` on last.
        self._period, self._repeat, self._end = period, start + period, end
        if self._repeat >= end:  # a very small image: all rows are different
            self._period, self._repeat = 0, end
        kept = [*range(self._repeat), *range(end, self.rows)]
        self._zeros = len(kept)
        self.enlarging = np.concatenate([_enlarging(size)[kept], np.zeros((1, size))])
        self.enlarging = self.enlarging.astype(np.float32)

    def __len__(self) -> int:
        return self._zeros + 1

    def find(self, row: Array) -> Array:
        """Indices into the table of rows of the enlarged image, int32."""
        last = row - self.rows + self._zeros
        within = jnp.where(row < self._repeat, row, row - self._period)
        within = jnp.where(row < self._end, within, last)
        return jnp.where((row < 0) | (row >= self.rows), self._zeros, within)


@functools.cache
def _enlarging(size: int) -> np.ndarray:
    """Continues by reflection and doubles the resolution, `[6 size - 4, size]`."""
    padded = np.pad(np.arange(size), size - 1, mode="reflect")
    taps = 2 * _SYM6 / _SYM6.sum()
    matrix = np.zeros((2 * len(padded), size))
    for source, column in enumerate(padded):
        for tap, value in enumerate(taps):
            row = 2 * source + tap - (_TAPS // 2 - 1)
            if 0 <= row < len(matrix):
                matrix[row, column] += value
    return matrix


@functools.cache
def _reducing(size: int) -> np.ndarray:
    """Halves the resolution and drops the edges, `[size, 2 size + 4 _EDGE]`."""
    matrix = np.zeros((size, 2 * (size + 2 * _EDGE)), np.float32)
    for row in range(size):
        matrix[row, 2 * row + 1 :][:_TAPS] = _SYM6 / _SYM6.sum()
    return matrix


def _along_both(x: Array, matrix: np.ndarray) -> Array:
    """Multiplies both axes of `[N, C, A, B]` by a matrix and exchanges them."""
    product = functools.partial(
        jnp.einsum, "ncab,rb->ncar", precision=lax.Precision.HIGHEST
    )
    return product(jnp.swapaxes(product(x, matrix), 2, 3), matrix)


def _taps(transforms: Array, table: Table) -> tuple[Array, Array]:
    """Indices into the flat table and weights, `[N, 4, S, S]`, x first."""
    size = (table.rows // 2 + 2) // 3
    samples = 2 * (size + 2 * _EDGE)
    at = (jnp.arange(samples) + 1 - samples / 2) / 2
    x, y = at[None, :, None], at[None, None, :]
    near, weight = [], []
    for row in (0, 1):
        a, b, c = (transforms[:, row, i, None, None] for i in range(3))
        place = 2 * (a * x + b * y + c) - 1 + table.rows / 2
        place = jnp.clip(place, -1.0, float(table.rows))
        first = jnp.floor(place)
        part = place - first
        first = first.astype(jnp.int32)
        near.append((table.find(first), table.find(first + 1)))
        weight.append((1 - part, part))
    places = [i * len(table) + j for i in near[0] for j in near[1]]
    weights = [u * v for u in weight[0] for v in weight[1]]
    return jnp.stack(places, axis=1), jnp.stack(weights, axis=1)


def _sample(x: Array, places: Array, weights: Array) -> Array:
    """Weighted sums of four elements of `[N, C, R, R]`, `[N, C, S, S]`."""
    n, c, rows, _ = x.shape
    samples = places.shape[-1]

    def gather(taps: tuple[Array, Array], x: Array) -> Array:
        places, weights = taps
        flat = x.reshape(n, c, rows * rows)
        parts = [
            jnp.take_along_axis(
                flat,
                places[:, i].reshape(n, 1, -1),
                axis=2,
                mode="promise_in_bounds",
            )
            * weights[:, i].reshape(n, 1, -1)
            for i in range(4)
        ]
        return sum(parts[1:], parts[0]).reshape(n, c, samples, samples)

    def scatter(taps: tuple[Array, Array], y: Array) -> Array:
        places, weights = taps
        image = jnp.arange(n).reshape(n, 1, 1, 1) * rows * rows
        parts = weights[..., None] * jnp.transpose(y, (0, 2, 3, 1))[:, None]
        flat = jnp.zeros((n * rows * rows, c))
        flat = flat.at[image + places].add(parts, mode="promise_in_bounds")
        return jnp.transpose(flat.reshape(n, rows, rows, c), (0, 3, 1, 2))

    return linear_call(gather, scatter, (places, weights), x)
