"""How near reconstructions are to their originals: every number for every image.

Measured is what a user gets: images are rounded to 256 levels first.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import lpips
from stylegan_jax.features.extractor import Extractor, Params
from stylegan_jax.io.images import from_uint8, to_uint8
from stylegan_jax.metrics import reconstruction
from stylegan_jax.metrics.drawing import as_rgb

_LEVELS = (0.0, 255.0)
_CONVENTIONS = {
    "ssim_gaussian": reconstruction.GAUSSIAN,
    "ssim_uniform": reconstruction.UNIFORM,
}
_BATCH = 16  # images that LPIPS looks at together
_EPS = 1e-12  # of a length; features that are all 0 are like nothing


def cosine_similarity(a: Array, b: Array) -> Array:
    """Cosine of the angle between vectors `[N, D]`: `[N]`, 1 for the same direction.

    0 where either is 0 everywhere. Can be jit-compiled and differentiated.
    """
    unit_a, unit_b = (
        x * jax.lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), _EPS**2))
        for x in (a.astype(jnp.float32), b.astype(jnp.float32))
    )
    return (unit_a * unit_b).sum(-1)


def identity_score(
    extractor: Extractor, a: np.ndarray | Array, b: np.ndarray | Array
) -> Array:
    """How alike pairs of images are to a network: cosine similarity of features, `[N]`.

    Whether that says "the same person" is up to the network: with one that was
    trained to tell people apart it is the identity score of the inversion and editing
    literature (ID, after ArcFace, Deng et al. 2019). 1 for an image and itself; values
    of different networks do not compare.

    Args:
        extractor: what looks at them, such as `features.own.load` gives.
        a: uint8 `[N, H, W, 3]`.
        b: as `a`; other sizes are possible.

    Raises:
        UserError: other images.
    """
    return cosine_similarity(extractor(a), extractor(b))


def report(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    *,
    lpips_params: Params | None = None,
    identity: Extractor | None = None,
) -> dict[str, np.ndarray]:
    """Scores of pairs of images, each float32 `[N]`, by name.

    - `psnr`: dB, of uint8 images with a peak of 255; the error is averaged over pixels
      and channels. Equal images give infinity.
    - `ssim_gaussian`, `ssim_uniform`: of uint8 images, in the conventions `GAUSSIAN`
      and `UNIFORM` of `metrics/reconstruction.py`; left out where images are smaller
      than the window (11 and 7 px).
    - `lpips`: of the rounded images in [-1, 1], where weights are there.
    - `identity`: `identity_score`, where a network is there.

    Args:
        originals: `[N, H, W, C]`, uint8, or float in [-1, 1]; values outside saturate.
        reconstructions: as `originals`, of the same shape.
        lpips_params: of `features.lpips.load`; which network says its parameters.
        identity: a network that knows people apart.

    Raises:
        UserError: other shapes, or images of different shapes.
    """
    a, b = (_levels(images) for images in (originals, reconstructions))
    if a.shape != b.shape or a.ndim != 4:
        raise UserError(
            f"originals {a.shape} and reconstructions {b.shape} are not images "
            "[N, H, W, C] of one shape; resize them first"
        )
    found: dict[str, Any] = dict(_pixel_scores(a, b))
    if lpips_params is not None:
        found["lpips"] = _lpips(lpips_params, as_rgb(a), as_rgb(b))
    if identity is not None:
        found["identity"] = identity_score(identity, as_rgb(a), as_rgb(b))
    return {name: np.asarray(scores, np.float32) for name, scores in found.items()}


@jax.jit
def _pixel_scores(a: Array, b: Array) -> Mapping[str, Array]:
    x, y = a.astype(jnp.float32), b.astype(jnp.float32)
    scores = {"psnr": reconstruction.psnr(x, y, value_range=_LEVELS)}
    for name, convention in _CONVENTIONS.items():
        if min(x.shape[1:3]) >= convention.taps:
            scores[name] = reconstruction.ssim(
                x, y, value_range=_LEVELS, convention=convention
            )
    return scores


_distance = jax.jit(lpips.distance)


def _lpips(params: Params, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(a), _BATCH):
        pair = (from_uint8(images[start : start + _BATCH]) for images in (a, b))
        found.append(np.asarray(_distance(params, *pair)))
    return np.concatenate(found)


def _levels(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    return images if images.dtype == np.uint8 else to_uint8(images)
