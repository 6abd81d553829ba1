"""Masks from shapes, parts of a face, and pictures.

A mask is float32 `[1, R, R, 1]` in [0, 1], 1 inside. Positions are fractions of the
image's side, x to the right and y down.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from scipy import ndimage

from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.io.decoding import UnreadableImageError

Mask = np.ndarray
AnyMask = TypeVar("AnyMask", np.ndarray, jax.Array)


class FaceFrame(NamedTuple):
    """Key points of an aligned face, in fractions of the side."""

    eyes: tuple[float, float]  # their middle
    eye_distance: float  # of their centres
    eye_to_mouth: float


# The recipe of FFHQ makes a square whose half side is the larger of 2 eye distances
# and 1.8 eye-to-mouth distances, centred a tenth of the latter below the eyes. In a
# face where both are equal the eyes are 1/4 apart, and the mouth 1/3.6 below them.
FFHQ = FaceFrame((0.5, 0.5 - 0.1 / 3.6), 1 / 4, 1 / 3.6)
# Heads of the built-in portraits are drawn smaller (data/portraits/people.py).
PORTRAITS = FaceFrame((0.5, 0.475), 0.2, 0.2075)
FRAMES = {"ffhq": FFHQ, "portraits": PORTRAITS}

# Ellipses (x, y, radius of x, radius of y). The middle of the eyes is (0, 0); units
# are the distance of the eyes for x, and from eyes to mouth for y.
_PARTS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "left-eye": ((-0.5, 0.0, 0.36, 0.22),),  # on the left of the picture
    "right-eye": ((0.5, 0.0, 0.36, 0.22),),
    "eyes": ((-0.5, 0.0, 0.36, 0.22), (0.5, 0.0, 0.36, 0.22)),
    "brows": ((-0.55, -0.33, 0.48, 0.17), (0.55, -0.33, 0.48, 0.17)),
    "nose": ((0.0, 0.5, 0.36, 0.4),),
    "mouth": ((0.0, 1.0, 0.66, 0.32),),
    "face": ((0.0, 0.42, 1.15, 1.3),),
    "hair": ((0.0, 0.15, 1.75, 1.9),),  # of the head; the face is left out
}
_HALVES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
}
PARTS = (*_PARTS, *_HALVES)


def box(resolution: int, left: float, top: float, right: float, bottom: float) -> Mask:
    """Pixels whose centres lie in a rectangle, `[1, R, R, 1]` of 0 and 1."""
    x, y = _centres(resolution)
    return _as_mask((left <= x) & (x < right) & (top <= y) & (y < bottom))


def ellipse(
    resolution: int, x: float, y: float, radius_x: float, radius_y: float
) -> Mask:
    """Pixels whose centres lie in an upright ellipse, `[1, R, R, 1]` of 0 and 1."""
    px, py = _centres(resolution)
    return _as_mask(((px - x) / radius_x) ** 2 + ((py - y) / radius_y) ** 2 <= 1)


def _centres(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    at = (np.arange(resolution) + 0.5) / resolution
    return at[None, :], at[:, None]


def _as_mask(inside: np.ndarray) -> Mask:
    return inside.astype(np.float32)[None, :, :, None]


def part(name: str, resolution: int, frame: FaceFrame = FFHQ) -> Mask:
    """A part of an average aligned face, or a half of the picture: one of `PARTS`."""
    if name in _HALVES:
        return box(resolution, *_HALVES[name])
    (eye_x, eye_y), across, down = frame
    ellipses = [
        ellipse(
            resolution,
            eye_x + x * across,
            eye_y + y * down,
            radius_x * across,
            radius_y * down,
        )
        for x, y, radius_x, radius_y in _PARTS[name]
    ]
    mask = np.max(ellipses, axis=0)
    if name == "hair":
        above = box(resolution, 0, 0, 1, eye_y + 0.9 * down)
        return mask * (1 - part("face", resolution, frame)) * above
    return mask


def feather(mask: Mask, sigma: float) -> Mask:
    """The mask with its edge blurred by a Gaussian, `sigma` a fraction of the side.

    Borders are extended. Source: Image2StyleGAN++ gives no filter size.
    """
    if sigma <= 0:
        return mask
    pixels = sigma * mask.shape[1]
    blurred = ndimage.gaussian_filter(mask, (0, pixels, pixels, 0), mode="nearest")
    return np.clip(blurred, 0, 1).astype(np.float32)


def dilate(mask: Mask, radius: float) -> Mask:
    """The mask grown by `radius`, a fraction of the side."""
    pixels = radius * mask.shape[1]
    reach = int(pixels)
    if reach < 1:
        return mask
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x**2 + y**2 <= pixels**2)[None, :, :, None]
    grown = ndimage.grey_dilation(mask, footprint=disc, mode="constant")
    return grown.astype(np.float32)


def resize(mask: AnyMask, resolution: int) -> AnyMask:
    """The mask resampled by nearest pixel centres, as Image2StyleGAN++'s."""
    places = (2 * np.arange(resolution) + 1) * mask.shape[1] // (2 * resolution)
    return mask[:, places][:, :, places]


def covered(picture: np.ndarray, mask: Mask) -> np.ndarray:
    """The picture, uint8 `[R, R, C]`, grey inside the mask."""
    mixed = picture * (1 - mask[0]) + 128 * mask[0]
    return np.rint(mixed).astype(np.uint8)


# --- Descriptions ------------------------------------------------------------------

# Functions of four numbers, and an example of these.
_SHAPES = {
    "box": (box, "0.2,0.5,0.8,0.9"),
    "ellipse": (ellipse, "0.5,0.6,0.2,0.1"),
}


def parse(
    text: str, resolution: int, frame: FaceFrame = FFHQ, *, soft: bool = False
) -> Mask:
    """The mask of a description; several joined by `+` are their union.

    `box:LEFT,TOP,RIGHT,BOTTOM` and `ellipse:X,Y,RADIUS_X,RADIUS_Y` in fractions of the
    side, one of `PARTS`, or a picture (`read_picture`), with `NAME.png=3` for class 3.

    Pictures are cut at a half unless `soft`. UserError for another description, or an
    empty mask.
    """
    words = [text] if Path(text).is_file() else text.split("+")
    masks = [_parse(word, resolution, frame, soft=soft) for word in words]
    mask = np.max(masks, axis=0)
    if not mask.any():
        raise UserError(f"mask {text} holds no pixel of {resolution}x{resolution}")
    return mask


def _parse(word: str, resolution: int, frame: FaceFrame, *, soft: bool) -> Mask:
    if word in PARTS:
        return part(word, resolution, frame)
    kind, _, rest = word.partition(":")
    if kind in _SHAPES:
        shape, example = _SHAPES[kind]
        try:
            numbers = [float(number) for number in rest.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
            raise UserError(
                f"mask {word}: {kind} takes four numbers, such as {kind}:{example}"
            )
        if kind == "ellipse" and min(numbers[2:]) <= 0:
            raise UserError(f"mask {word}: the radii of an ellipse are above 0")
        return shape(resolution, *numbers)
    match = re.fullmatch(r"(.+)=(\d{1,9})", word)
    if match and not Path(word).exists():
        return read_picture(match[1], resolution, soft=soft, value=int(match[2]))
    if Path(word).is_file() or Path(word).suffix:
        return read_picture(word, resolution, soft=soft)
    raise UserError(
        f"mask {word!r} is neither a picture nor box:LEFT,TOP,RIGHT,BOTTOM nor "
        f"ellipse:X,Y,RADIUS_X,RADIUS_Y nor one of {', '.join(PARTS)}"
    )


# --- Pictures ----------------------------------------------------------------------

_FULL = {"8-bit": 255, "16-bit": 65535, "32-bit": 2**31 - 1, "float": 1}
_CLASSES = 64  # files of class numbers hold smaller ones
_COLOURFUL = 32  # of 255: more than JPEG makes of grey
_LUMA = (0.299, 0.587, 0.114)


def read_picture(
    path: str | Path, resolution: int, *, soft: bool = False, value: int | None = None
) -> Mask:
    """The mask of a picture with sides of `resolution`.

    Alpha counts where it varies, otherwise luminance. Values are relative to the file's
    range if they use more than half of it, else to their largest; of two values, one of
    them 0, the other is inside. Cut at a half unless `soft`; `value` is the class
    inside. UserError for a missing file, no picture, another size, empty, full, or
    ambiguous.
    """
    try:
        levels, kind = images.read_levels(path)
        height, width = levels.shape[:2]
        if (height, width) != (resolution, resolution):
            raise UserError(
                f"it is {width}x{height} px, but the network's pictures are "
                f"{resolution}x{resolution}; draw it at that size"
            )
        inside = _inside(levels, kind, value)
        if not soft:
            inside = inside >= 0.5
        if not np.any(inside >= 0.5):
            raise UserError("no pixel is inside; white is inside, black outside")
        if np.all(inside == 1):
            raise UserError("all pixels are inside; for all of it give box:0,0,1,1")
    except FileNotFoundError:
        raise UserError(f"mask {path}: there is no such file") from None
    except (UnreadableImageError, UserError, OSError) as error:
        raise UserError(f"mask {path}: {error}") from error
    return _as_mask(inside)


def _inside(levels: np.ndarray, kind: str, value: int | None) -> np.ndarray:
    """`[H, W]` in [0, 1] of a picture `[H, W, C]`."""
    has_alpha = levels.shape[2] in (2, 4)
    colours = levels[:, :, :-1] if has_alpha else levels
    if value is not None:
        found = _grey(colours, kind) == value
        if not found.any():
            raise UserError(f"no pixel has the value {value}")
        return found
    alpha = levels[:, :, -1]
    if has_alpha and (alpha.min() < alpha.max() or not alpha.any()):
        return _shares(alpha, kind)
    return _shares(_grey(colours, kind), kind)


def _shares(plane: np.ndarray, kind: str) -> np.ndarray:
    """Values as shares of white, float64 `[H, W]`."""
    low, high = float(plane.min()), float(plane.max())
    if not (low >= 0 and high <= _FULL[kind]):
        raise UserError(f"{kind} values from {low:g} to {high:g} are no mask")
    values = np.unique(plane)
    if len(values) <= 2 and (low == high or not low):
        return (plane > 0).astype(np.float64)
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
        raise UserError("it is in colours; draw what is inside white, the rest black")
    return luma
