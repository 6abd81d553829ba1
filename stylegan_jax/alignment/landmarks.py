"""Face landmarks: layouts and files.

Landmarks are `[K, 2]` float64, (x, y) in pixels, whole numbers at pixel centres, y
down. "Left" is the image's left. FFHQ's recipe needs the eyes and the corners of the
mouth, which `LAYOUTS` gives for each K.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, records

_MAX_BYTES = 1 << 24  # a million points
_MAX_COORDINATE = 1e6  # pixels; of larger ones areas and angles overflow
LANDMARK_ENDINGS = (".npy", ".json", ".txt", ".csv")


class LandmarkError(UserError):
    """Landmarks that describe no face, or a file without any."""


# For each number of points, the points whose means are the left and the right eye and
# the left and the right corner of the mouth.
_MESH = (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61,), (291,)
LAYOUTS: dict[int, tuple[tuple[int, ...], ...]] = {
    # Two eyes, two corners of the mouth.
    4: ((0,), (1,), (2,), (3,)),
    # MTCNN, RetinaFace, YuNet: eyes, tip of the nose, corners of the mouth.
    5: ((0,), (1,), (3,), (4,)),
    # iBUG 300-W, dlib: what FFHQ was made with. The outlines of the eyes.
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (48,), (54,)),
    # MediaPipe's mesh, without and with irises: the same outlines.
    468: _MESH,
    478: _MESH,
}


def key_points(landmarks: np.ndarray) -> np.ndarray:
    """Left and right eye, left and right corner of the mouth, float64 `[4, 2]`.

    Of landmarks `[K, 2]` in any layout of `LAYOUTS`. LandmarkError for another number
    of points, or points that are not finite, coincide, or are interchanged.

    Source: `recreate_aligned_images`, `download_ffhq.py`, in NVlabs/ffhq-dataset.
    """
    try:
        points = np.asarray(landmarks, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise LandmarkError(f"landmarks are no numbers ({error})") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in LAYOUTS:
        known = ", ".join(map(str, LAYOUTS))
        raise LandmarkError(
            f"landmarks of shape {points.shape} are not [K, 2] with K one of {known}"
        )
    groups = [points[list(indices)] for indices in LAYOUTS[len(points)]]
    if not (np.abs(np.concatenate(groups)) < _MAX_COORDINATE).all():
        raise LandmarkError(
            "landmarks of the eyes or the mouth are not finite, or no coordinates in "
            f"a picture (beyond {_MAX_COORDINATE:g} pixels)"
        )
    found = np.stack([group.mean(axis=0) for group in groups])
    across, down = found[1] - found[0], found[2] + found[3] - found[0] - found[1]
    if not np.hypot(*across) or not np.hypot(*down):
        raise LandmarkError("landmarks of eyes and mouth coincide: no face")
    if across[0] * down[1] - across[1] * down[0] <= 0:
        raise LandmarkError(
            "landmarks have the eyes interchanged, or the mouth beside them; "
            "the left eye is the one at the left of an upright picture"
        )
    return found


def read_landmarks(path: str | os.PathLike) -> list[np.ndarray]:
    """The landmarks in a file, `[K, 2]` float64 per face.

    `.npy` holds `[K, 2]` or `[faces, K, 2]`; `.txt` or `.csv` one face, a point `x y`
    or `x, y` per line; `.json` nested lists, or an object with them under `landmarks`
    or `face_landmarks` (as FFHQ's metadata). LandmarkError for others, and
    FileNotFoundError.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in LANDMARK_ENDINGS:
        known = ", ".join(LANDMARK_ENDINGS)
        raise LandmarkError(f"landmarks are read from {known}, not {path}")
    try:
        if ending == ".npy":
            content = array_files.read_npy(path, max_bytes=_MAX_BYTES)
        elif ending == ".json":
            content = records.read_json(path)
            if isinstance(content, dict):
                content = content.get("landmarks", content.get("face_landmarks"))
        else:
            text = records.read_bytes(path, _MAX_BYTES).decode("utf-8-sig")
            lines = [x.split("#")[0].replace(",", " ") for x in text.splitlines()]
            content = [line.split() for line in lines if line.strip()]
        values = np.asarray(content, np.float64)
        if values.ndim not in (2, 3) or not len(values):
            raise UserError(f"numbers of shape {values.shape}")
        return as_faces(values)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, OSError, OverflowError) as error:
        raise LandmarkError(f"{path} holds no landmarks: {error}") from error


def as_faces(landmarks: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Landmarks of one or several faces as a checked list of `[K, 2]`."""
    if not len(landmarks):
        return []
    faces = [landmarks] if np.ndim(landmarks[0]) == 1 else list(landmarks)
    for face in faces:
        key_points(np.asarray(face))
    return [np.asarray(face, np.float64) for face in faces]
