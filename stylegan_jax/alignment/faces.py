"""Faces and their landmarks in a photograph, found by dlib.

FFHQ was aligned with dlib's 68 landmarks, so these are the very points its recipe was
made for. `dlib-bin` brings the library and its detector, `face_recognition_models` the
files of the landmarks and of a second detector; nothing is downloaded at run time. Any
other library fits behind `Landmarker`.
"""

import functools
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError

_LANDMARKS = "shape_predictor_68_face_landmarks.dat"
_NETWORK = "mmod_human_face_detector.dat"
# The histogram detector sees faces of 80 pixels and more: small pictures are doubled.
_DETECT_SIDE = 4000
# The network does too, at a minute for 8 megapixels on a core.
_NETWORK_SIDE = 640


class Landmarker(Protocol):
    """Finds the landmarks of all faces in a photograph."""

    def __call__(self, image: np.ndarray, /) -> list[np.ndarray]:
        """Takes uint8 `[H, W, 3]`; returns `[K, 2]` per face (`landmarks.LAYOUTS`)."""
        ...


class MissingLandmarkerError(UserError):
    """The optional library that finds faces is not installed."""


@functools.cache
def load_landmarker() -> Landmarker:
    """Returns dlib's 68 landmarks, faces being looked for in three ways.

    First with the detector of FFHQ (upright faces), then, if there are none, with a
    slower one (profiles, tilted faces), then with the first on the picture turned by
    quarters (photographs that lie on their side).

    Raises:
        MissingLandmarkerError: dlib or its models are not installed.
    """
    dlib, models = _library()
    find_upright = dlib.get_frontal_face_detector()
    network = dlib.cnn_face_detection_model_v1(str(models / _NETWORK))
    predict = dlib.shape_predictor(str(models / _LANDMARKS))

    def upright(image: np.ndarray) -> list[np.ndarray]:
        scaled, scale = _scaled(image, _DETECT_SIDE)
        return [_points(image, box, scale) for box in find_upright(scaled, 0)]

    def tilted(image: np.ndarray) -> list[np.ndarray]:
        scaled, scale = _scaled(image, _NETWORK_SIDE)
        return [_points(image, found.rect, scale) for found in network(scaled, 0)]

    def _points(image: np.ndarray, box, scale: float) -> np.ndarray:
        edges = (box.left(), box.top(), box.right(), box.bottom())
        # dlib counts pixels, so it is their centres that are scaled.
        box = dlib.rectangle(*(round((edge + 0.5) / scale - 0.5) for edge in edges))
        shape = predict(image, box)
        return np.array([(p.x, p.y) for p in shape.parts()], np.float64)

    def find(image: np.ndarray, /) -> list[np.ndarray]:
        image = np.ascontiguousarray(image)
        return (
            upright(image)
            or tilted(image)
            or _turned(upright, image, 1)
            or _turned(upright, image, 3)
            or _turned(upright, image, 2)
        )

    return find


def _library() -> tuple[ModuleType, Path]:
    """Returns dlib and the folder of its models."""
    # Importing the models' package would need pkg_resources, which is gone.
    package = importlib.util.find_spec("face_recognition_models")
    if importlib.util.find_spec("dlib") is None or package is None:
        raise MissingLandmarkerError(
            "finding faces needs dlib: pip install 'stylegan_jax[align]'; or give "
            "landmarks by hand, or crops that are aligned already (--no-align)"
        )
    folder = Path(next(iter(package.submodule_search_locations or ()))) / "models"
    return importlib.import_module("dlib"), folder


def _scaled(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Brings the longer side to `side` pixels, but no more than doubles it."""
    height, width = image.shape[:2]
    scale = min(2.0, side / max(height, width))
    shape = max(round(height * scale), 1), max(round(width * scale), 1)
    return np.ascontiguousarray(images.resize(image, shape)), scale


def _turned(find: Landmarker, image: np.ndarray, quarters: int) -> list[np.ndarray]:
    """Finds faces in the image turned anticlockwise by so many quarters."""
    height, width = image.shape[:2]
    faces = find(np.ascontiguousarray(np.rot90(image, quarters)))
    for _ in range(quarters):  # a quarter back: (x, y) comes from (y, W - 1 - x)
        faces = [np.stack([width - 1 - f[:, 1], f[:, 0]], axis=1) for f in faces]
        height, width = width, height
    return faces
