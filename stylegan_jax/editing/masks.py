"""Where an edit happens: masks from shapes, parts of a face, and pictures.

A mask is float32 `[1, R, R, 1]` in [0, 1]; 1 is inside. Places are fractions of the
image's side, x to the right and y down, so that one description fits every size.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from scipy import ndimage

from stylegan_jax.editing import mask_pictures
from stylegan_jax.errors import UserError

Mask = np.ndarray
AnyMask = TypeVar("AnyMask", np.ndarray, jax.Array)


class FaceFrame(NamedTuple):
    """Where an aligned face lies: the points that alignment puts in place."""

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
}
_HALVES = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
}
PARTS = (*_PARTS, "hair", *_HALVES)


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


def part(name: str, resolution: int, frame: FaceFrame = FFHQ) -> Mask:
    """A part of an aligned face, or a half of the picture: one of `PARTS`.

    They are where the parts of an average face would be; nothing is recognised.
    """
    if name in _HALVES:
        return box(resolution, *_HALVES[name])
    if name == "hair":
        head = _face_ellipse(resolution, frame, (0.0, 0.15, 1.75, 1.9))
        hidden = part("face", resolution, frame)
        _, y = _centres(resolution)
        below = _as_mask(y > frame.eyes[1] + 0.9 * frame.eye_to_mouth)
        return head * (1 - hidden) * (1 - below)
    mask = np.zeros((1, resolution, resolution, 1), np.float32)
    for shape in _PARTS[name]:
        mask = np.maximum(mask, _face_ellipse(resolution, frame, shape))
    return mask


def parse(
    text: str,
    resolution: int,
    frame: FaceFrame = FFHQ,
    *,
    soft: bool = False,
    report: Callable[[str], object] = lambda text: None,
) -> Mask:
    """Reads a description of a mask; several joined by `+` are their union.

    `box:LEFT,TOP,RIGHT,BOTTOM` and `ellipse:X,Y,RADIUS_X,RADIUS_Y` in fractions of
    the side, one of `PARTS`, or the name of a picture (`mask_pictures.read`), of class
    numbers with the one that is meant, `NAME.png=3`.

    Args:
        text: the description.
        resolution: side of the mask.
        frame: where an aligned face lies.
        soft: keeps the grey of pictures; otherwise a half and more is inside.
        report: is told how a picture was read.

    Raises:
        UserError: none of these, or nothing is inside.
    """
    words = [text] if Path(text).is_file() else text.split("+")
    mask = np.zeros((1, resolution, resolution, 1), np.float32)
    for word in words:
        name, number = _picture(word)
        if name is not None:
            one, how = mask_pictures.read(name, resolution, soft=soft, value=number)
            report(how)
        else:
            one = _parse_one(word, resolution, frame)
        mask = np.maximum(mask, one)
    if not mask.any():
        raise UserError(f"mask {text} holds no pixel of {resolution}x{resolution}")
    return mask


def _picture(word: str) -> tuple[str | None, int | None]:
    """The name of a picture, if it is one, and the class number after it."""
    if word in PARTS or word.startswith(("box:", "ellipse:")):
        return None, None
    match = re.fullmatch(r"(.+)=(\d{1,9})", word)
    if match and not Path(word).exists():
        return match[1], int(match[2])
    return (word if Path(word).is_file() or Path(word).suffix else None), None


def _parse_one(word: str, resolution: int, frame: FaceFrame) -> Mask:
    kind, _, rest = word.partition(":")
    if word in PARTS:
        return part(word, resolution, frame)
    if kind not in ("box", "ellipse"):
        raise UserError(
            f"mask {word!r} is neither a picture nor box:LEFT,TOP,RIGHT,BOTTOM nor "
            f"ellipse:X,Y,RADIUS_X,RADIUS_Y nor one of {', '.join(PARTS)}"
        )
    try:
        numbers = [float(number) for number in rest.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise UserError(
            f"mask {word}: {kind} takes four numbers, such as {kind}:"
            + ("0.2,0.5,0.8,0.9" if kind == "box" else "0.5,0.6,0.2,0.1")
        )
    if kind == "box":
        return box(resolution, *numbers)
    if min(numbers[2:]) <= 0:
        raise UserError(f"mask {word}: the radii of an ellipse are above 0")
    return ellipse(resolution, *numbers)


def feather(mask: Mask, sigma: float) -> Mask:
    """Blurs a mask's edge with a Gaussian; `sigma` is a fraction of the side.

    The picture is taken to go on beyond its border. Source: Image2StyleGAN++ blurs
    masks "with suitable filter size" and gives none.
    """
    if sigma <= 0:
        return mask
    pixels = sigma * mask.shape[1]
    blurred = ndimage.gaussian_filter(mask, (0, pixels, pixels, 0), mode="nearest")
    return np.clip(blurred, 0, 1).astype(np.float32)


def dilate(mask: Mask, radius: float) -> Mask:
    """Grows a mask by `radius`, a fraction of the side, in all directions."""
    pixels = radius * mask.shape[1]
    reach = int(pixels)
    if reach < 1:
        return mask
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x**2 + y**2 <= pixels**2)[None, :, :, None]
    grown = ndimage.grey_dilation(mask, footprint=disc, mode="constant")
    return grown.astype(np.float32)


def resize(mask: AnyMask, resolution: int) -> AnyMask:
    """Resamples a mask `[1, R, R, 1]` by nearest neighbours, of pixel centres.

    Source: Image2StyleGAN++, masks of activation tensors.
    """
    places = (2 * np.arange(resolution) + 1) * mask.shape[1] // (2 * resolution)
    return mask[:, places][:, :, places]


def _face_ellipse(
    resolution: int, frame: FaceFrame, shape: tuple[float, float, float, float]
) -> Mask:
    x, y, radius_x, radius_y = shape
    return ellipse(
        resolution,
        frame.eyes[0] + x * frame.eye_distance,
        frame.eyes[1] + y * frame.eye_to_mouth,
        radius_x * frame.eye_distance,
        radius_y * frame.eye_to_mouth,
    )


def _centres(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    at = (np.arange(resolution) + 0.5) / resolution
    return at[None, :], at[:, None]


def _as_mask(inside: np.ndarray) -> Mask:
    return inside.astype(np.float32)[None, :, :, None]


def covered(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture, uint8, with the inside of a mask made grey."""
    mixed = picture * (1 - mask[0]) + 128 * mask[0]
    return np.rint(mixed).astype(np.uint8)
