"""Masks that are pictures: which of their values mean inside."""

from pathlib import Path

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.io.decoding import UnreadableImageError

_FULL = {"8-bit": 255, "16-bit": 65535, "32-bit": 2**31 - 1, "float": 1}
_CLASSES = 64  # files of class numbers hold smaller ones
_COLOURFUL = 32  # of 255: more than JPEG makes of grey
_LUMA = (0.299, 0.587, 0.114)


def read(
    path: str | Path, resolution: int, *, soft: bool = False, value: int | None = None
) -> tuple[np.ndarray, str]:
    """Reads a mask from a picture.

    Alpha is the mask where not all pixels have the same; otherwise luminance is.
    Values are shares of what the file can hold if it uses more than half of that, else
    of its largest; of two values, one of them 0, the other is inside.

    Args:
        path: of the picture.
        resolution: side that it must have.
        soft: keeps values in between; otherwise a half and more is inside.
        value: the number that is inside, of pictures of class numbers.

    Returns:
        float32 `[1, R, R, 1]` in [0, 1], and what was read, for the user.

    Raises:
        UserError: no such file, not a picture, of another size, empty or full, or
            not clearly a mask.
    """
    try:
        levels, kind = images.read_levels(path)
    except FileNotFoundError:
        raise UserError(f"mask {path}: there is no such file") from None
    except (UnreadableImageError, OSError) as error:
        raise UserError(f"mask {path} cannot be read: {error}") from error
    height, width, channels = levels.shape
    if (height, width) != (resolution, resolution):
        raise UserError(
            f"mask {path} is {width}x{height} px, but the network's "
            f"pictures are {resolution}x{resolution}; draw it at that size"
        )
    alpha = levels[:, :, -1] if channels in (2, 4) else None
    colours = levels if alpha is None else levels[:, :, :-1]
    try:
        if value is not None:
            mask, how = _grey(colours, kind) == value, f"pixels of value {value}"
            if not mask.any():
                raise UserError(f"no pixel has the value {value}")
        elif alpha is not None and alpha.min() < alpha.max():
            mask, how = _shares(alpha, kind), "alpha"
        elif alpha is not None and not alpha.max():
            raise UserError("it is transparent everywhere")
        else:
            mask, how = _shares(_grey(colours, kind), kind), "luminance"
        if not soft:
            mask = mask >= 0.5
        share = np.mean(mask >= 0.5)
        if not share:
            raise UserError("no pixel is inside; white is inside, black outside")
        if np.all(mask == 1):
            raise UserError("all pixels are inside; for all of it give box:0,0,1,1")
    except ValueError as error:
        raise UserError(f"mask {path}: {error}") from error
    count = round(share * resolution**2)
    return mask.astype(np.float32)[None, :, :, None], (
        f"mask {path}: {count} of {resolution**2} pixels are inside ({share:.1%}), "
        f"{resolution}x{resolution}, by its {how}"
    )


def _shares(plane: np.ndarray, kind: str) -> np.ndarray:
    """Values as shares of white, float64 `[H, W]`."""
    low, high = float(plane.min()), float(plane.max())
    if not (low >= 0 and high <= _FULL[kind]):
        raise UserError(f"{kind} values from {low:g} to {high:g} are no mask")
    if low == high:
        raise UserError(
            f"all pixels have the value {high:g}"
            + ("; white is inside, black outside" if not high else "")
            + ("; for all of it give box:0,0,1,1" if high else "")
        )
    values = np.unique(plane)
    if len(values) == 2 and not low:
        return plane / high
    whole = kind != "float" and np.all(values == np.rint(values))
    numbers = values[(values > 0) & (values < 255)]
    if whole and len(numbers) > 1 and numbers.max() < _CLASSES:
        some = ", ".join(f"{number:g}" for number in numbers[:5])
        raise UserError(
            f"the values {some}{', ...' if len(numbers) > 5 else ''} look like class "
            f"numbers; name the class that is meant after the file, as in "
            f"mask.png={numbers[0]:g}"
        )
    return plane / (_FULL[kind] if high > _FULL[kind] / 2 else high)


def _grey(colours: np.ndarray, kind: str) -> np.ndarray:
    """Luminance `[H, W]`, whole where pixels are grey."""
    if colours.shape[2] == 1 or np.ptp(colours, axis=2).max() == 0:
        return colours[:, :, 0]
    luma = colours @ np.array(_LUMA)
    scale = _FULL[kind] / 255
    if np.ptp(colours.astype(np.float64), axis=2).max() <= _COLOURFUL * scale:
        return luma
    found = np.unique(colours.reshape(-1, colours.shape[2]), axis=0)
    if len(found) == 2 and not found[0].any():  # one colour on black
        return np.where(colours.any(2), float(_FULL[kind]), 0.0)
    between = np.mean((luma > 0.25 * _FULL[kind]) & (luma < 0.75 * _FULL[kind]))
    if 2 < len(found) <= _CLASSES or between > 0.1:
        raise UserError(
            "it is a picture in colours; draw what is inside white and the rest "
            "black, or leave the rest transparent"
        )
    return luma
