"""Cropping, resizing, warping and blurring of uint8 images `[H, W, C]`."""

import numpy as np
from PIL import Image, ImageFilter

from stylegan_jax.io.decoding import from_array

_LANCZOS = Image.Resampling.LANCZOS
_STRIP_BYTES = 1 << 22


def square_box(image: np.ndarray, resolution: int, *, pad: bool = False) -> np.ndarray:
    """Crops the central square and resizes it to uint8 `[resolution, resolution, C]`.

    Shrinking is the exact mean over each output pixel's area (when halving, the 2x2
    mean of the official tool); enlarging is Lanczos. `pad` first surrounds the square
    with zeros up to the next power of two, as `create_mnist` in NVlabs/stylegan does.
    """
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = image[top : top + side, left : left + side]
    if pad and side & (side - 1):
        before = (2 ** side.bit_length() - side) // 2
        after = 2 ** side.bit_length() - side - before
        image = np.pad(image, ((before, after), (before, after), (0, 0)))
        side = image.shape[0]
    if side > resolution:
        return _area_mean(image, resolution)
    if side < resolution:
        planes = [
            Image.fromarray(plane).resize((resolution, resolution), _LANCZOS)
            for plane in np.moveaxis(image, 2, 0)
        ]
        return np.stack([np.asarray(plane) for plane in planes], axis=2)
    return image


def _area_mean(image: np.ndarray, resolution: int) -> np.ndarray:
    """Exact means, rounded half to even."""
    side, _, channels = image.shape
    factor, rest = divmod(side, resolution)
    made = np.empty((resolution, resolution, channels), np.uint8)
    if not rest:  # adding slices is several times faster than a reduction
        step = max(_STRIP_BYTES // (4 * side * channels), 1)
        for top in range(0, resolution, step):
            strip = image[top * factor : (top + step) * factor]
            rows = strip[::factor].astype(np.uint32)
            for i in range(1, factor):
                rows += strip[i::factor]
            sums = rows[:, ::factor].copy()
            for i in range(1, factor):
                sums += rows[:, i::factor]
            made[top : top + step] = np.rint(sums / factor**2)
        return made
    # In units of 1 / resolution of a pixel, so that all numbers are whole, an output
    # pixel is `side` long, and a pixel `resolution`.
    whole, part = np.divmod(np.arange(resolution + 1) * side, resolution)
    columns = np.minimum(whole, side - 1)
    inside = part[:, None]
    for y in range(resolution):
        first, last = whole[y], whole[y + 1]
        row = image[first:last].sum(0, np.int64) * resolution
        if part[y]:
            row -= image[first] * part[y]
        if part[y + 1]:
            row += image[last] * part[y + 1]
        sums = np.add.reduceat(row, whole[:-1]) * resolution
        edges = row[columns] * inside
        made[y] = np.rint((sums + edges[1:] - edges[:-1]) / side**2)
    return made


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 `[H, W, 1-4]` to `shape`, (height, width), with Lanczos' filter."""
    height, width = shape
    pixels = from_array(image).resize((width, height), _LANCZOS)
    return np.asarray(pixels).reshape(height, width, -1)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs uint8 `[H, W, 3]` with nearly a Gaussian of `sigma` pixels."""
    return np.asarray(from_array(image).filter(ImageFilter.GaussianBlur(sigma)))


def sample_quad(image: np.ndarray, quad: np.ndarray, size: int) -> np.ndarray:
    """Samples a quad of uint8 `[H, W, 3]` as a square; black outside the image.

    Bilinear at four times `size`, then Lanczos. `quad` is `[4, 2]`, (x, y) of top left,
    bottom left, bottom right and top right; whole numbers are centres of pixels.
    """
    corners = tuple((np.asarray(quad) + 0.5).ravel().tolist())
    bilinear = Image.Resampling.BILINEAR
    sampled = from_array(image).transform(
        (4 * size, 4 * size), Image.Transform.QUAD, corners, bilinear
    )
    return np.asarray(sampled.resize((size, size), _LANCZOS))


def warp_affine(
    image: np.ndarray, matrix: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Samples uint8 `[H, W, 3]` bicubically along an affine map; black outside it.

    `matrix`, `[2, 3]`, takes (x, y, 1) of the result to (x, y) of `image`; whole
    numbers are edges of pixels.
    """
    size = shape[1], shape[0]
    values, bicubic = tuple(matrix.ravel().tolist()), Image.Resampling.BICUBIC
    warped = from_array(image).transform(size, Image.Transform.AFFINE, values, bicubic)
    return np.asarray(warped)
