"""Decoding of uploaded photographs and of strokes on a picture."""

import io
from collections.abc import Sequence

import numpy as np

from stylegan_jax.alignment.crops import NoFaceError, align
from stylegan_jax.alignment.faces import MissingLandmarkerError
from stylegan_jax.alignment.ffhq import crop_quad, settled
from stylegan_jax.alignment.landmarks import LandmarkError
from stylegan_jax.editing.masks import FFHQ, FaceFrame
from stylegan_jax.errors import UserError
from stylegan_jax.io import images, resampling

_MOST_PHOTO = 40_000_000  # pixels; of 16 bits with alpha they take 0.8 GB
_MARKED = 0.25  # of a pixel of the network must be under a stroke to count


def read_photo(
    data: bytes,
    resolution: int,
    num_channels: int,
    *,
    find_face: bool,
    frame: FaceFrame = FFHQ,
) -> np.ndarray:
    """An untrusted photograph as a network's input, uint8 `[R, R, C]`.

    With `find_face` the largest face, placed as in `frame`; otherwise the central
    square. UserError for what is no picture, too large or without a face, or without a
    detector.
    """
    image = _read(data, 3 if find_face else num_channels, _MOST_PHOTO, "photograph")
    if not find_face:
        return resampling.square_box(image, resolution)
    way_out = "; or leave “Find the face” out, which takes the central square"
    try:
        quad = fitted(align(image, size=resolution)[0].quad, frame)
        crop = crop_quad(image, settled(quad, image.shape), resolution)
    except (NoFaceError, LandmarkError) as error:
        raise UserError(f"no face was found in the photograph{way_out}") from error
    except MissingLandmarkerError as error:
        raise UserError(
            f"finding faces needs dlib: pip install 'stylegan_jax[align]'{way_out}"
        ) from error
    return images.convert_channels(crop, num_channels)


def read_layer(data: bytes, side: int) -> np.ndarray:
    """Untrusted strokes on a canvas, uint8 `[side, side, 4]`.

    Layers may be up to four times as wide (high-DPI screens); UserError for larger ones
    and for what is no picture.
    """
    layer, shape = _read(data, 4, (4 * side) ** 2, "layer"), (side, side)
    return layer if layer.shape[:2] == shape else resampling.resize(layer, shape)


def _read(data: bytes, num_channels: int, most_pixels: int, kind: str) -> np.ndarray:
    """A picture whose size is checked before it is decoded."""
    try:
        height, width, _ = images.read_header(io.BytesIO(data), check_end=False)
        if height * width > most_pixels:
            raise UserError(
                f"the {kind} is {width} x {height} pixels, over "
                f"{most_pixels / 1e6:.1f} megapixels; give a smaller one"
            )
        return images.read_image(data, num_channels)
    except images.UnreadableImageError as error:
        raise UserError(
            f"the {kind} cannot be read as a picture ({error}); give a PNG, JPEG or "
            "WebP"
        ) from error


def fitted(quad: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """FFHQ's quad of a face, `[4, 2]`, changed to place the face as in `frame`.

    The eyes match; the scale is the geometric mean of those of widths (between eyes)
    and heights (to the mouth).
    """
    scale = np.sqrt(
        (FFHQ.eye_distance / frame.eye_distance)
        * (FFHQ.eye_to_mouth / frame.eye_to_mouth)
    )
    left, top = np.array(FFHQ.eyes) - scale * np.array(frame.eyes)
    across, down = quad[3] - quad[0], quad[1] - quad[0]
    corners = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) * scale + (left, top)
    return quad[0] + corners @ np.stack([across, down])


def strokes(layers: Sequence[np.ndarray], picture: np.ndarray) -> np.ndarray:
    """Layers uint8 `[S, S, 4]`, the lowest first, at the size R of a picture.

    S is a multiple of R. float32 `[R, R, C + 1]`: colours in [0, 255], and coverage in
    [0, 1].
    """
    size, _, channels = picture.shape
    painted = np.zeros((size, size, channels + 1), np.float32)
    for layer in layers:
        colour, alpha = np.split(layer.astype(np.float32), [3], axis=-1)
        if channels == 1:
            colour = colour.mean(-1, keepdims=True)
        # Means over cells, of colours as far as they are there.
        parts = np.concatenate([colour * alpha / 255, alpha / 255], -1)
        factor = len(parts) // size
        parts = parts.reshape(size, factor, size, factor, -1).mean((1, 3))
        painted = parts + painted * (1 - parts[..., -1:])
    painted[..., :-1] /= np.maximum(painted[..., -1:], 1e-6)
    return painted


def as_mask(painted: np.ndarray) -> np.ndarray:
    """Mask of the strokes, `[1, R, R, 1]` of 0 and 1."""
    return (painted[None, ..., -1:] >= _MARKED).astype(np.float32)


def as_picture(painted: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The picture with the strokes on it, uint8 `[R, R, C]`; other pixels unchanged."""
    marked = as_mask(painted)[0] > 0
    return np.where(marked, np.rint(painted[..., :-1]), picture).astype(np.uint8)
