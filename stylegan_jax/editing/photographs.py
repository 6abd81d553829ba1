"""Faces in photographs: cut out before an edit, and pasted back after it."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.alignment.align import align
from stylegan_jax.alignment.faces import Landmarker
from stylegan_jax.alignment.landmarks import read_landmarks
from stylegan_jax.alignment.paste import paste_back
from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError

_ENDINGS = (".npy", ".json", ".txt", ".csv")  # of `read_landmarks`


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a crop was cut from."""

    photograph: Path
    quad: np.ndarray  # float64 [4, 2], of `alignment`

    def about(self) -> dict[str, Any]:
        """What files of codes say of it; read by `place_of`."""
        path = os.path.abspath(self.photograph)  # the folder may be another one later
        return {"photograph": path, "quad": self.quad.tolist()}

    def paste(
        self, crop: np.ndarray, *, unedited: np.ndarray | None = None
    ) -> np.ndarray:
        """The photograph with an edited crop, as `paste_back`.

        Raises:
            UserError: the photograph is gone, no image, or another one.
        """
        if not self.photograph.is_file():
            raise UserError(
                f"{self.photograph} is not there any more: the result stays a crop"
            )
        crop = images.convert_channels(crop, 3)
        if unedited is not None:
            unedited = images.convert_channels(unedited, 3)
        photograph = images.read_image(self.photograph, 3)
        return paste_back(photograph, crop, self.quad, unedited=unedited)


def place_of(about: Mapping[str, Any]) -> Place | None:
    """The place that a file of codes tells of, if it does.

    Raises:
        UserError: the file has something else under the key `quad`.
    """
    if about.get("quad") is None or not about.get("photograph"):
        return None
    try:
        quad = np.asarray(about["quad"], np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the quad {about['quad']} is not of numbers") from error
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise UserError(f"the quad {about['quad']} is not four points (x, y)")
    return Place(Path(str(about["photograph"])), quad)


@dataclasses.dataclass(frozen=True)
class Aligning:
    """How faces are found.

    Attributes:
        landmarks: a file of landmarks, of one photograph, or a folder in which each
            photograph's file has its name, with another ending; None looks for faces.
        landmarker: looks for them; None is dlib.
    """

    landmarks: Path | None = None
    landmarker: Landmarker | None = None

    def cut(self, path: Path, resolution: int) -> tuple[np.ndarray, Place]:
        """The largest face of a photograph: uint8 `[R, R, 3]`, and where it lies.

        Raises:
            UserError: there is none, or no landmarks of this photograph.
        """
        photograph = images.read_image(path, 3)
        given = None if self.landmarks is None else read_landmarks(self._file_of(path))
        face = align(
            photograph, size=resolution, landmarks=given, landmarker=self.landmarker
        )[0]
        return face.crop, Place(path, face.quad)

    def _file_of(self, photograph: Path) -> Path:
        assert self.landmarks is not None
        if not self.landmarks.is_dir():
            return self.landmarks
        for ending in _ENDINGS:
            file = self.landmarks / f"{photograph.stem}{ending}"
            if file.is_file():
                return file
        raise UserError(
            f"{self.landmarks} has no landmarks of {photograph.name}: "
            f"{photograph.stem} with one of {', '.join(_ENDINGS)}"
        )
