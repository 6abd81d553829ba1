"""Edited crops pasted back into their photographs."""

import numpy as np

from stylegan_jax.alignment import ffhq
from stylegan_jax.errors import UserError
from stylegan_jax.io import resampling


def paste_back(
    photograph: np.ndarray,
    crop: np.ndarray,
    quad: np.ndarray,
    *,
    feather: float = 0.1,
    unedited: np.ndarray | None = None,
) -> np.ndarray:
    """The photograph, uint8 `[H, W, 3]`, with a crop over the quad it was cut from.

    The crop fades in from the quad's edges and towards crossed edges of the photograph,
    where its pixels are invented.

    Args:
        crop: uint8 `[S, S, 3]`.
        quad: `[4, 2]`, `Aligned.quad`: a parallelogram.
        feather: width of the fade, as a share of the crop's side; in [0, 0.5].
        unedited: uint8 `[S, S, 3]`, the crop before the edit; only the difference is
            added then, which keeps the photograph's finer detail but may show what was
            removed.
    """
    quad = np.asarray(quad, np.float64)
    _check(photograph, crop, quad, feather, unedited)
    left, top, right, bottom = box = ffhq.surroundings(quad, photograph.shape)
    if right <= left or bottom <= top:
        raise UserError("the quad lies outside the photograph: is it another one's?")
    # (u, v) of the crop, from 0 to 1 along its sides, is `into @ (x - corner)`.
    corner = quad[0]
    into = np.linalg.inv(np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1))
    region = photograph[top:bottom, left:right]
    base = region if unedited is None else _warp(unedited, into, quad, box)
    change = _warp(crop, into, quad, box).astype(np.float32) - base
    x, y = np.arange(left, right) - corner[0], np.arange(top, bottom) - corner[1]
    weight = _fade(into, x, y, feather) * ffhq.sharpness(quad, box)
    result = photograph.copy()
    mixed = np.rint(region + weight[:, :, None] * change)
    result[top:bottom, left:right] = np.clip(mixed, 0, 255)
    return result


def _check(
    photograph: np.ndarray,
    crop: np.ndarray,
    quad: np.ndarray,
    feather: float,
    unedited: np.ndarray | None,
) -> None:
    for name, image in [("photograph", photograph), ("crop", crop)]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            kind = f"{image.dtype} {image.shape}"
            raise UserError(f"the {name} is not uint8 [H, W, 3] but {kind}")
    shapes = {crop.shape, crop.shape if unedited is None else unedited.shape}
    if shapes != {(len(crop), len(crop), 3)}:
        raise UserError(f"a crop, edited or not, is [S, S, 3], got {sorted(shapes)}")
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise UserError(f"a quad is four points (x, y), got shape {quad.shape}")
    skew = np.abs(quad[0] + quad[2] - quad[1] - quad[3]).max()
    if skew > 1e-3 * max(ffhq.quad_side(quad), 1e-6):
        raise UserError(f"the quad {quad.tolist()} is no parallelogram")
    if not 0 <= feather <= 0.5:
        raise UserError(f"feather {feather} is not within 0 and 0.5")


def _warp(
    crop: np.ndarray, into: np.ndarray, quad: np.ndarray, box: ffhq.Box
) -> np.ndarray:
    side = max(round(ffhq.quad_side(quad)), 1)
    if side < len(crop):  # else bicubic sampling would skip pixels
        crop = resampling.resize(crop, (side, side))
    margin, size = 2, len(crop)  # pixels at the rim have neighbours to mix with
    crop = np.pad(crop, ((margin, margin), (margin, margin), (0, 0)), "edge")
    left, top, right, bottom = box
    # Pillow's coordinates have their whole numbers at the edges of pixels.
    offset = size * (into @ (np.array([left, top]) - 0.5 - quad[0])) + margin
    matrix = np.concatenate([size * into, offset[:, None]], axis=1)
    return resampling.warp_affine(crop, matrix, (bottom - top, right - left))


def _fade(into: np.ndarray, x: np.ndarray, y: np.ndarray, feather: float) -> np.ndarray:
    """float32 `[H, W]`: 0 outside the quad, rising smoothly to 1 within it."""
    u = into[0, 0] * x[None, :] + into[0, 1] * y[:, None]
    v = into[1, 0] * x[None, :] + into[1, 1] * y[:, None]
    depth = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    if not feather:
        return (depth >= 0).astype(np.float32)
    share = np.clip(depth / feather, 0, 1).astype(np.float32)
    return share * share * (3 - 2 * share)
