"""Photographs to invert: read, squared or aligned, and named."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.alignment.crops import align
from stylegan_jax.alignment.faces import MissingLandmarkerError
from stylegan_jax.alignment.ffhq import central_quad
from stylegan_jax.alignment.landmarks import LANDMARK_ENDINGS, read_landmarks
from stylegan_jax.errors import UserError
from stylegan_jax.io import images, resampling
from stylegan_jax.io.listing import list_images, photographs


class Photo(NamedTuple):
    """A photograph at a network's size and channels."""

    name: str  # of the file, without ending
    path: Path
    pixels: np.ndarray  # uint8 [R, R, C]
    quad: np.ndarray  # float64 [4, 2], where it lies in the file: see `alignment.ffhq`


class Rejected(NamedTuple):
    """A file that cannot be inverted, and the reason."""

    path: Path
    reason: str


def listed(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files among the paths and the images below the folders, sorted."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = photographs(list_images(path))  # without results of ours
            if not inside:
                raise UserError(f"{path} has no images")
            found += inside
        else:
            found.append(path)
    if not found:
        raise UserError("no images are given")
    return list(dict.fromkeys(found))


def read(
    paths: Sequence[Path],
    resolution: int,
    num_channels: int,
    *,
    aligned: bool,
    landmarks: Path | None = None,
) -> tuple[list[Photo], list[Rejected]]:
    """The photographs and the rejected files.

    Args:
        resolution: target side; pixels are area means.
        aligned: crops the largest face as FFHQ does, instead of the central square.
        landmarks: for `aligned`, in place of detection: a file of one image's landmarks
            (`alignment.landmarks`), or a folder with a file for each.

    UserError for no face detector, or one file of landmarks for several images.
    """
    if landmarks is not None and not landmarks.is_dir() and len(paths) != 1:
        raise UserError(
            f"{landmarks} has the landmarks of one image, and {len(paths)} are given; "
            "give a folder with a file for each, of the image's name"
        )
    photos: list[Photo] = []
    rejected: list[Rejected] = []
    for path in paths:
        try:
            if aligned:
                points = None if landmarks is None else _points(landmarks, path.stem)
                photo = images.read_image(path, 3)
                face = align(photo, size=resolution, landmarks=points)[0]
                pixels = images.convert_channels(face.crop, num_channels)
                quad = face.quad
            else:
                photo = images.read_image(path, num_channels)
                pixels = resampling.square_box(photo, resolution)
                quad = central_quad(photo.shape)
        except MissingLandmarkerError:
            raise
        except (images.UnreadableImageError, UserError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            rejected.append(Rejected(path, reason or str(error)))
            continue
        photos.append(Photo(path.stem, path, pixels, quad))
    return photos, rejected


def _points(landmarks: Path, name: str) -> list[np.ndarray]:
    if not landmarks.is_dir():
        return read_landmarks(landmarks)
    for ending in LANDMARK_ENDINGS:
        file = landmarks / f"{name}{ending}"
        if file.is_file():
            return read_landmarks(file)
    raise UserError(
        f"{landmarks} has no landmarks of it: {name} with {', '.join(LANDMARK_ENDINGS)}"
    )
