"""Crops of the faces in a photograph, aligned as FFHQ's are."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from stylegan_jax.alignment import ffhq
from stylegan_jax.alignment.faces import Landmarker, load_landmarker
from stylegan_jax.alignment.landmarks import as_faces
from stylegan_jax.errors import UserError

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
    smaller than half `size` and of crops largely outside the photograph.

    Args:
        image: uint8 `[H, W, 3]`, upright as `images.read_image` returns it.
        size: side of the crops in pixels.
        landmarks: of one face `[K, 2]` or of several; by default `landmarker`'s (dlib).

    Raises:
        NoFaceError: none is found.
        LandmarkError: landmarks that describe no face in this photograph.
        MissingLandmarkerError: dlib is not installed.
        UserError: another `image` or `size`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"{image.dtype} {image.shape} is not a uint8 [H, W, 3] image")
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
