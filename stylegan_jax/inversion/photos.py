"""The images that are to be inverted: read, squared or aligned, and named."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.alignment.align import align
from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
# Of a folder these are our own results, not images to invert.
_OURS = ("_stages", "_loss")


class Photo(NamedTuple):
    """An image as a network wants it."""

    name: str  # of its results, without ending
    path: Path
    pixels: np.ndarray  # uint8 [R, R, C]


class Refused(NamedTuple):
    """A file that cannot be inverted, and why."""

    path: Path
    reason: str


def listed(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that are named, and the images of the folders that are, sorted.

    Raises:
        UserError: nothing is there, or a folder has no images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in _ENDINGS and not file.stem.endswith(_OURS)
            )
            if not inside:
                raise UserError(f"{path} has no images")
            found += inside
        else:
            found.append(path)
    if not found:
        raise UserError("no images are given")
    return list(dict.fromkeys(found))


def read(
    paths: Sequence[Path], resolution: int, num_channels: int, *, aligned: bool
) -> tuple[list[Photo], list[Refused]]:
    """Reads images; those that cannot be read do not stop the others.

    Args:
        paths: of the files.
        resolution: what they become, in pixels.
        num_channels: likewise.
        aligned: cuts the largest face out, as FFHQ's are; otherwise the central square
            is taken. Shrinking is the mean over each pixel's area.

    Returns:
        The images, and the files that are none.
    """
    photos: list[Photo] = []
    refused: list[Refused] = []
    names: set[str] = set()
    for path in paths:
        try:
            if aligned:
                pixels = align(images.read_image(path, 3), size=resolution)[0].crop
                pixels = images.convert_channels(pixels, num_channels)
            else:
                pixels = images.read_image(path, num_channels)
                pixels = images.square_box(pixels, resolution)
        except (images.UnreadableImageError, UserError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            refused.append(Refused(path, reason or str(error)))
            continue
        name = path.stem
        while name in names:  # a.png and a.jpg
            name += "_"
        names.add(name)
        photos.append(Photo(name, path, pixels))
    return photos, refused
