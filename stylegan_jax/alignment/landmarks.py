"""Face landmarks: layouts and files.

Landmarks are `[K, 2]` float64, (x, y) in pixels, whole numbers at pixel centres, y
down. "Left" is the image's left. FFHQ's recipe needs the eyes and the corners of the
mouth, which `LAYOUTS` gives for each K.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, records

_MAX_BYTES = 1 << 24  # a million points
_MAX_COORDINATE = 1e6  # pixels; of larger ones areas and angles overflow
LANDMARK_ENDINGS = (".npy", ".json", ".txt", ".csv")


class KeyPoints(NamedTuple):
    """The four points of FFHQ's recipe, each `[2]` float64."""

    left_eye: np.ndarray
    right_eye: np.ndarray
    left_mouth: np.ndarray
    right_mouth: np.ndarray


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


def key_points(landmarks: np.ndarray) -> KeyPoints:
    """The four points of landmarks `[K, 2]` in any layout of `LAYOUTS`.

    Raises:
        LandmarkError: an unknown number of points, points that are not finite or
            coincide, or left and right interchanged.

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
    layout = LAYOUTS[len(points)]
    used = points[[index for indices in layout for index in indices]]
    if not (np.abs(used) < _MAX_COORDINATE).all():
        raise LandmarkError(
            "landmarks of the eyes or the mouth are not finite, or no coordinates in "
            f"a picture (beyond {_MAX_COORDINATE:g} pixels)"
        )
    found = KeyPoints(*(points[list(indices)].mean(axis=0) for indices in layout))
    across = found.right_eye - found.left_eye
    down = found.left_mouth + found.right_mouth - found.left_eye - found.right_eye
    turn = across[0] * down[1] - across[1] * down[0]
    if not np.hypot(*across) or not np.hypot(*down):
        raise LandmarkError("landmarks of eyes and mouth coincide: no face")
    if turn <= 0:
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
    readers = {".npy": _npy, ".txt": _text, ".csv": _text, ".json": _json}
    if path.suffix.lower() not in readers:
        raise LandmarkError(f"landmarks are read from {', '.join(readers)}, not {path}")
    try:
        values = np.asarray(readers[path.suffix.lower()](path), np.float64)
        if values.ndim not in (2, 3) or not len(values):
            raise UserError(f"numbers of shape {values.shape}")
        return as_faces(values)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, OSError, OverflowError) as error:
        raise LandmarkError(f"{path} holds no landmarks: {error}") from error


def as_faces(landmarks: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Landmarks of one or several faces as a checked list of `[K, 2]`."""
    if not len(landmarks):
        return []
    faces = [landmarks] if np.ndim(landmarks[0]) == 1 else list(landmarks)
    for face in faces:
        key_points(np.asarray(face))
    return [np.asarray(face, np.float64) for face in faces]


def _npy(path: Path) -> np.ndarray:
    return array_files.read_npy(path, max_bytes=_MAX_BYTES)


def _text(path: Path) -> list:
    text = records.read_bytes(path, _MAX_BYTES).decode("utf-8-sig")
    lines = [line.split("#")[0] for line in text.splitlines()]
    return [line.replace(",", " ").split() for line in lines if line.strip()]


def _json(path: Path) -> list:
    content = records.read_json(path)
    if isinstance(content, dict):
        names = [name for name in ("landmarks", "face_landmarks") if name in content]
        if not names:
            raise UserError("an object without `landmarks` or `face_landmarks`")
        content = content[names[0]]
    return content
