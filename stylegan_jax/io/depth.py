"""White level of images whose 16- or 32-bit samples may hold only 10, 12 or 14 bits."""

from collections.abc import Mapping

import numpy as np

from stylegan_jax.errors import UserError

Whites = Mapping[str, float]  # by kind of sample, see `decoding.Header`

FULL: Whites = {"16-bit": 65535, "32-bit": 65535, "float": 1}
_BITS = (8, 10, 12, 14, 16, 24, 31)


def largest(levels: np.ndarray) -> float:
    """The largest value of `[H, W, C]` without alpha; all must be finite and >= 0."""
    colours = levels[:, :, : -1 if levels.shape[2] in (2, 4) else None]
    low, high = float(colours.min()), float(colours.max())
    if not (low >= 0 and np.isfinite(high)):
        raise UserError(f"values from {low:g} to {high:g}, not from 0 up")
    return high


def white_of(kind: str, high: float) -> float:
    """The white of samples up to `high`, of the fewest bits; floats are up to 1."""
    if kind == "float":
        if high > 1:
            raise UserError(f"floats up to {high:g}, not from 0 to 1")
        return 1
    return next(2**bits - 1 for bits in _BITS if high < 2**bits)


def reading(kind: str, high: float, white: float) -> str:
    """The decision in words, for a message."""
    how = "0 to 1" if kind == "float" else f"{int(white).bit_length()} bits"
    return f"largest value {high:g}: read as {how}"


def to_8_bits(levels: np.ndarray, kind: str, white: float) -> np.ndarray:
    """Scales `[H, W, C]` so that `white` is 255; alpha by its full range."""
    if levels.shape[2] in (2, 4):
        alpha = to_8_bits(levels[:, :, -1:], kind, FULL[kind])
        return np.dstack([to_8_bits(levels[:, :, :-1], kind, white), alpha])
    if levels.dtype == np.uint16:
        table = np.rint(np.arange(65536) * 255 / white).clip(max=255)
        return table.astype(np.uint8)[levels]
    scaled = np.nan_to_num(levels, nan=0) * np.float32(255 / white)
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)
