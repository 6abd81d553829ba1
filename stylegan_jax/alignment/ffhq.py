"""FFHQ's face crop: the quad in a photograph, and its pixels.

A quad is `[4, 2]` float64, the corners of the crop in the photograph: top left, bottom
left, bottom right, top right of the upright face. Points are (x, y) in pixels with
whole numbers at pixel centres: the corners of a W x H picture are (-0.5, -0.5) and
(W - 0.5, H - 0.5).

Source: `recreate_aligned_images`, `download_ffhq.py`, in NVlabs/ffhq-dataset; Karras et
al. 2019, appendix A.
"""

import numpy as np

from stylegan_jax.alignment.landmarks import LandmarkError, key_points
from stylegan_jax.io import resampling

# The centres of 64 x 64 equal cells of the unit square, `[4096, 2]`.
_SHARES = np.stack(np.meshgrid(*[(np.arange(64) + 0.5) / 64] * 2), -1).reshape(-1, 2)

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def face_quad(landmarks: np.ndarray) -> np.ndarray:
    """The quad of a face with landmarks `[K, 2]` (`landmarks.LAYOUTS`).

    Its x axis halves the angle between the line of the eyes and the normal to the line
    from eyes to mouth; its half side is the larger of 2 x the distance of the eyes and
    1.8 x that from eyes to mouth.
    """
    left_eye, right_eye, left_mouth, right_mouth = key_points(landmarks)
    eyes, across = (left_eye + right_eye) / 2, right_eye - left_eye
    down = (left_mouth + right_mouth) / 2 - eyes
    right = across + np.array([down[1], -down[0]])
    half = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    right *= half / np.hypot(*right)
    below = np.array([-right[1], right[0]])
    corners = [-right - below, -right + below, right + below, right - below]
    return eyes + 0.1 * down + np.stack(corners)


def quad_side(quad: np.ndarray) -> float:
    """The length of a quad's upper side in pixels."""
    return float(np.hypot(*(quad[3] - quad[0])))


def central_quad(shape: tuple[int, ...]) -> np.ndarray:
    """The quad of the central square of an `[H, W, ...]` picture."""
    side = min(shape[:2])
    left, top = (shape[1] - side) // 2 - 0.5, (shape[0] - side) // 2 - 0.5
    corners = [(0, 0), (0, side), (side, side), (side, 0)]
    return np.array(corners, np.float64) + np.array([left, top])


def settled(quad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The quad, or the central square if the `[H, W, ...]` picture is a crop already.

    That is a picture within the quad but for a tenth, with less than 1 / 1.15 of its
    area: FFHQ's recipe would only add its mirror image.
    """
    _check_inside(quad, shape)
    height, width = shape[:2]
    points = _SHARES * (width, height) - 0.5
    places = (points - quad[0]) @ np.linalg.inv(_sides(quad))
    inside = ((places >= 0) & (places <= 1)).all(axis=1).mean()
    if inside < 0.9 or quad_side(quad) ** 2 < 1.15 * height * width:
        return quad
    return central_quad(shape)


def made_up(quad: np.ndarray, shape: tuple[int, ...]) -> float:
    """The share of a quad outside an `[H, W, ...]` picture."""
    points = quad[0] + _SHARES @ _sides(quad)
    limits = np.array(shape[:2])[::-1] - 0.5
    return 1 - float(((points >= -0.5) & (points < limits)).all(axis=1).mean())


def _sides(quad: np.ndarray) -> np.ndarray:
    return np.stack([quad[3] - quad[0], quad[1] - quad[0]])


def crop_quad(image: np.ndarray, quad: np.ndarray, size: int) -> np.ndarray:
    """The pixels of a quad, uint8 `[size, size, 3]`.

    Outside the photograph, uint8 `[H, W, 3]`, it is continued by reflection, blurred
    and fading into the median colour.

    Differs from the official script: the picture is sampled at four times `size` for
    any `size` (there 4096 for 1024), and shrinking a large photograph beforehand keeps
    pixel centres in place (there they move by up to half a shrunken pixel).

    LandmarkError if the quad lies outside the photograph, or dwarfs it.
    """
    quad = np.asarray(quad, np.float64)
    _check_inside(quad, image.shape)
    factor = int(quad_side(quad) / size / 2)
    if factor > 1:
        shape = np.array(image.shape[:2])
        smaller = np.maximum(np.rint(shape / factor).astype(int), 1)
        image = resampling.resize(image, (int(smaller[0]), int(smaller[1])))
        quad = (quad + 0.5) * (smaller / shape)[::-1] - 0.5
    left, top, right, bottom = surroundings(quad, image.shape)
    image, quad = image[top:bottom, left:right], quad - (left, top)
    pads = _padding(quad, image.shape)
    if any(pads):
        image = _continue(image, pads, 0.02 * quad_side(quad))
        quad = quad + pads[:2]
    return resampling.sample_quad(image, quad, size)


def surroundings(quad: np.ndarray, shape: tuple[int, ...]) -> Box:
    """The part of an `[H, W, ...]` photograph that a crop is made of."""
    low, high, border = _bounds(quad)
    left, top = np.maximum(low - border, 0)
    right, bottom = np.minimum(high + border, (shape[1], shape[0]))
    return int(left), int(top), int(right), int(bottom)


def sharpness(quad: np.ndarray, box: Box) -> np.ndarray:
    """Weight of the photograph's own pixels in a crop, 0 to 1.

    0 at edges of the photograph that the quad crosses, where all is blurred; float32
    `[bottom - top, right - left]` of `box`, the quad's `surroundings`.
    """
    left, top, right, bottom = box
    shape = (bottom - top, right - left)
    pads = _padding(quad - (left, top), shape)
    if not any(pads):
        return np.ones(shape, np.float32)
    left, top, right, bottom = pads
    outside = _outside((shape[0] + top + bottom, shape[1] + left + right), pads)
    inside = outside[top : top + shape[0], left : left + shape[1]]
    return 1 - np.clip(3 * inside + 1, 0, 1)


def _bounds(quad: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Whole pixels around a quad, (x, y) of the first and the end, and a border."""
    border = max(int(np.rint(0.1 * quad_side(quad))), 3)
    return np.floor(quad.min(axis=0)), np.ceil(quad.max(axis=0)), border


def _check_inside(quad: np.ndarray, shape: tuple[int, ...]) -> None:
    height, width = shape[:2]
    x, y = quad.mean(axis=0)
    inside = -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
    if not inside or quad_side(quad) > 4 * max(height, width):
        raise LandmarkError(
            f"landmarks put a face of {quad_side(quad):.0f} pixels at ({x:.0f}, "
            f"{y:.0f}) of a photograph of {width}x{height}; were they made for another "
            "size?"
        )


def _padding(quad: np.ndarray, shape: tuple[int, ...]) -> Box:
    """Pixels to pad left, above, right and below; or zeros."""
    low, high, border = _bounds(quad)
    needed = np.concatenate([-low, high - (shape[1], shape[0])]) + border
    if needed.max() <= border - 4:
        return 0, 0, 0, 0
    least = int(np.rint(0.3 * quad_side(quad)))
    left, top, right, bottom = np.maximum(needed, least).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _continue(image: np.ndarray, pads: Box, sigma: float) -> np.ndarray:
    left, top, right, bottom = pads
    image = np.pad(image, ((top, bottom), (left, right), (0, 0)), "reflect")
    outside = _outside(image.shape, pads)[:, :, None]
    result = image.astype(np.float32)
    blurred = resampling.blur(image, sigma).astype(np.float32)
    result += (blurred - result) * np.clip(3 * outside + 1, 0, 1)
    result += (np.median(result, axis=(0, 1)) - result) * np.clip(outside, 0, 1)
    return np.rint(result).astype(np.uint8)


def _outside(shape: tuple[int, ...], pads: Box) -> np.ndarray:
    """`[H, W]`: 1 at the padding's outer edge, 0 at its inner, less inside."""
    height, width = shape[:2]
    left, top, right, bottom = pads
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    columns = 1 - np.minimum(x / left, x[::-1] / right)
    rows = 1 - np.minimum(y / top, y[::-1] / bottom)
    return np.maximum(rows[:, None], columns[None, :])
