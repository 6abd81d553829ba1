"""Crops of faces, aligned as FFHQ's are, and pasted back into their photographs."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from stylegan_jax.alignment import ffhq
from stylegan_jax.alignment.faces import Landmarker, load_landmarker
from stylegan_jax.alignment.landmarks import as_faces
from stylegan_jax.errors import UserError
from stylegan_jax.io import resampling

_log = logging.getLogger(__name__)
_MADE_UP = 0.3  # share of a crop outside the photograph that is warned of


@dataclasses.dataclass(frozen=True)
class Aligned:
    """An aligned face crop."""

    crop: np.ndarray  # uint8 [size, size, 3]
    quad: np.ndarray  # float64 [4, 2], where it lies: see `ffhq`


class NoFaceError(UserError):
    """A photograph in which no face was found."""


def align(
    image: np.ndarray,
    *,
    size: int,
    landmarks: np.ndarray | Sequence[np.ndarray] | None = None,
    landmarker: Landmarker | None = None,
) -> list[Aligned]:
    """Crops the faces of a photograph by FFHQ's recipe, the largest first.

    A picture that is a crop already is returned whole (`ffhq.settled`). Warns of faces
    smaller than half `size` and of crops largely outside the photograph. NoFaceError if
    none is found, LandmarkError for landmarks that describe none in this photograph,
    MissingLandmarkerError without dlib.

    Args:
        image: uint8 `[H, W, 3]`, upright as `images.read_image` returns it.
        size: side of the crops in pixels.
        landmarks: of one face, x and y in pixels, `[K, 2]`, or of several; by default
            those that `landmarker` finds, which is dlib by default.

    Returns:
        A crop, uint8 `[size, size, 3]`, and its quad, `[4, 2]`, for each face.
    """
    _require_rgb(image, "photograph")
    if size < 1:
        raise UserError(f"a crop of {size} pixels is none: size is at least 1")
    if landmarks is None:
        landmarks = (landmarker or load_landmarker())(image)
    faces = [ffhq.face_quad(face) for face in as_faces(landmarks)]
    quads = [ffhq.settled(quad, image.shape) for quad in faces]
    if not quads:
        raise NoFaceError(
            f"no face found in the photograph of {image.shape[1]}x{image.shape[0]}: "
            "give landmarks by hand, or `align=False` for a crop that is aligned "
            "already"
        )
    quads.sort(key=ffhq.quad_side, reverse=True)
    for quad in quads:
        share, side = ffhq.made_up(quad, image.shape), ffhq.quad_side(quad)
        if share > _MADE_UP:
            _log.warning(
                f"{share:.0%} of a crop lie outside the photograph and are filled with "
                "its blurred mirror image: leave more room around the face"
            )
        if side < size / 2:
            _log.warning(
                f"a face covers only {side:.0f} pixels of the photograph and is "
                f"enlarged to {size}: expect a blurred crop"
            )
    return [Aligned(ffhq.crop_quad(image, quad, size), quad) for quad in quads]


def paste_back(
    photograph: np.ndarray,
    crop: np.ndarray,
    quad: np.ndarray,
    *,
    feather: float = 0.1,
    unedited: np.ndarray | None = None,
) -> np.ndarray:
    """The photograph, uint8 `[H, W, 3]`, with a crop over the quad it was cut from.

    The crop fades in from the quad's edges and towards crossed edges of the photograph,
    where its pixels are invented.

    Args:
        crop: uint8 `[S, S, 3]`.
        quad: `[4, 2]`, `Aligned.quad`: a parallelogram.
        feather: width of the fade, as a share of the crop's side; in [0, 0.5].
        unedited: uint8 `[S, S, 3]`, the crop before the edit; only the difference is
            added then, which keeps the photograph's finer detail but may show what was
            removed.
    """
    quad = np.asarray(quad, np.float64)
    _require_rgb(photograph, "photograph")
    _require_rgb(crop, "crop")
    shapes = {crop.shape, crop.shape if unedited is None else unedited.shape}
    if shapes != {(len(crop), len(crop), 3)}:
        raise UserError(f"a crop, edited or not, is [S, S, 3], got {sorted(shapes)}")
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise UserError(f"a quad is four points (x, y), got shape {quad.shape}")
    skew = np.abs(quad[0] + quad[2] - quad[1] - quad[3]).max()
    if skew > 1e-3 * max(ffhq.quad_side(quad), 1e-6):
        raise UserError(f"the quad {quad.tolist()} is no parallelogram")
    if not 0 <= feather <= 0.5:
        raise UserError(f"feather {feather} is not within 0 and 0.5")
    left, top, right, bottom = box = ffhq.surroundings(quad, photograph.shape)
    if right <= left or bottom <= top:
        raise UserError("the quad lies outside the photograph: is it another one's?")
    # (u, v) of the crop, from 0 to 1 along its sides, is `into @ (x - corner)`.
    corner = quad[0]
    into = np.linalg.inv(np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1))
    region = photograph[top:bottom, left:right]
    base = region if unedited is None else _warp(unedited, into, quad, box)
    change = _warp(crop, into, quad, box).astype(np.float32) - base
    x, y = np.arange(left, right) - corner[0], np.arange(top, bottom) - corner[1]
    weight = _fade(into, x, y, feather) * ffhq.sharpness(quad, box)
    result = photograph.copy()
    mixed = np.rint(region + weight[:, :, None] * change)
    result[top:bottom, left:right] = np.clip(mixed, 0, 255)
    return result


def _require_rgb(image: np.ndarray, name: str) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {image.shape}"
        raise UserError(f"the {name} is not uint8 [H, W, 3] but {kind}")


def _warp(
    crop: np.ndarray, into: np.ndarray, quad: np.ndarray, box: ffhq.Box
) -> np.ndarray:
    side = max(round(ffhq.quad_side(quad)), 1)
    if side < len(crop):  # else bicubic sampling would skip pixels
        crop = resampling.resize(crop, (side, side))
    margin, size = 2, len(crop)  # pixels at the rim have neighbours to mix with
    crop = np.pad(crop, ((margin, margin), (margin, margin), (0, 0)), "edge")
    left, top, right, bottom = box
    # Pillow's coordinates have their whole numbers at the edges of pixels.
    offset = size * (into @ (np.array([left, top]) - 0.5 - quad[0])) + margin
    matrix = np.concatenate([size * into, offset[:, None]], axis=1)
    return resampling.warp_affine(crop, matrix, (bottom - top, right - left))


def _fade(into: np.ndarray, x: np.ndarray, y: np.ndarray, feather: float) -> np.ndarray:
    """float32 `[H, W]`: 0 outside the quad, rising smoothly to 1 within it."""
    u = into[0, 0] * x[None, :] + into[0, 1] * y[:, None]
    v = into[1, 0] * x[None, :] + into[1, 1] * y[:, None]
    depth = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    if not feather:
        return (depth >= 0).astype(np.float32)
    share = np.clip(depth / feather, 0, 1).astype(np.float32)
    return share * share * (3 - 2 * share)
