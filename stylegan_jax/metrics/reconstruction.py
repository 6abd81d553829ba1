"""Reconstruction metrics: PSNR, SSIM, cosine similarity, and a report of all.

`psnr` and `ssim` take float images `[N, H, W, C]` and are differentiable.
`value_range` is (black, white), as (-1, 1) or (0, 255); SSIM depends on both.

Sources: Wang et al. 2004, "Image quality assessment: from error visibility to
structural similarity", section 3; scikit-image's `structural_similarity`; torchmetrics.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import lpips
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.io.images import from_uint8, to_uint8
from stylegan_jax.metrics.sampling import as_rgb

Range = tuple[float, float]


class Convention(NamedTuple):
    """Variant of SSIM; values of different conventions do not compare."""

    taps: int  # side of the window in pixels, odd
    sigma: float | None  # of a Gaussian window in pixels; None is a uniform window
    sample: bool  # divides (co)variances by `taps^2 - 1` instead of `taps^2`
    border: Literal["crop", "reflect"]  # windows inside, or the image mirrored


# Wang et al., and scikit-image with `gaussian_weights=True, sigma=1.5,
# use_sample_covariance=False`.
GAUSSIAN = Convention(taps=11, sigma=1.5, sample=False, border="crop")
# scikit-image's default.
UNIFORM = Convention(taps=7, sigma=None, sample=True, border="crop")
TORCHMETRICS = Convention(taps=11, sigma=1.5, sample=False, border="reflect")

_LEVELS = (0.0, 255.0)
_CONVENTIONS = {"ssim_gaussian": GAUSSIAN, "ssim_uniform": UNIFORM}
_BATCH = 16  # of LPIPS
# Heading and number format, in the order of reports.
FORMATS: Mapping[str, tuple[str, str]] = {
    "psnr": ("PSNR dB", ".2f"),
    "ssim_gaussian": ("SSIM", ".4f"),
    "lpips": ("LPIPS", ".4f"),
    "identity": ("identity", ".4f"),
}


def psnr(x: Array, y: Array, *, value_range: Range) -> Array:
    """Peak signal-to-noise ratio in dB, `[N]`: `10 log10((white - black)^2 / MSE)`.

    Images are `[N, H, W, C]`; `value_range` is their black and white.
    """
    chex.assert_rank([x, y], 4)
    chex.assert_equal_shape([x, y])
    black, white = value_range
    error = jnp.mean(((x - y) / (white - black)) ** 2, axis=(1, 2, 3))
    return -10 * jnp.log10(error)


def ssim(
    x: Array, y: Array, *, value_range: Range, convention: Convention = GAUSSIAN
) -> Array:
    """Structural similarity, `[N]`, the mean of `ssim_map`; 1 for equal images."""
    similarity = ssim_map(x, y, value_range=value_range, convention=convention)
    return similarity.mean(axis=(1, 2, 3))


def ssim_map(
    x: Array, y: Array, *, value_range: Range, convention: Convention = GAUSSIAN
) -> Array:
    """SSIM of the window around each pixel and channel, `[N, H, W, C]`.

    "crop" takes `taps - 1` off height and width. Smaller images raise UserError.
    """
    chex.assert_rank([x, y], 4)
    chex.assert_equal_shape([x, y])
    if min(x.shape[1:3]) < convention.taps:
        raise UserError(
            f"images of {x.shape[1]}x{x.shape[2]} px are smaller than the window of "
            f"{convention.taps} px; enlarge them"
        )
    black, white = value_range
    # In [-0.5, 0.5]: subtracting squared means loses less than in [0, 1].
    u, v = ((image - black) / (white - black) - 0.5 for image in (x, y))
    mean_u, mean_v = _local_mean(u, convention), _local_mean(v, convention)
    area = convention.taps**2
    factor = area / (area - 1) if convention.sample else 1.0
    var_x = factor * (_local_mean(u * u, convention) - mean_u**2)
    var_y = factor * (_local_mean(v * v, convention) - mean_v**2)
    cov = factor * (_local_mean(u * v, convention) - mean_u * mean_v)
    mean_x, mean_y = mean_u + 0.5, mean_v + 0.5
    c1, c2 = 0.01**2, 0.03**2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return light * (2 * cov + c2) / (var_x + var_y + c2)


def _local_mean(x: Array, convention: Convention) -> Array:
    radius, sigma = convention.taps // 2, convention.sigma
    at = range(-radius, radius + 1)
    bell = [1.0 if sigma is None else math.exp(-0.5 * (i / sigma) ** 2) for i in at]
    weights = [value / sum(bell) for value in bell]
    if convention.border == "reflect":
        x = jnp.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)), "reflect")
    # Sums of shifted images rather than convolutions: exact in float32 on devices
    # whose convolutions round to fewer bits.
    height, width = x.shape[1] - 2 * radius, x.shape[2] - 2 * radius
    x = sum(w * x[:, i : i + height] for i, w in enumerate(weights))  # type: ignore
    return sum(w * x[:, :, i : i + width] for i, w in enumerate(weights))  # type: ignore


def cosine_similarity(a: Array, b: Array) -> Array:
    """Cosine similarity of vectors `[N, D]`, `[N]`; 0 for a zero vector."""
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return optax.losses.cosine_similarity(a, b, epsilon=1e-12)


def identity_score(
    extractor: FrozenNetwork, a: np.ndarray | Array, b: np.ndarray | Array
) -> Array:
    """Cosine similarity of features of pairs of uint8 `[N, H, W, 3]` images, `[N]`.

    With a face recognition network it is the identity score (ID) of the editing
    literature (ArcFace, Deng et al. 2019). The sizes of `a` and `b` may differ.
    """
    return cosine_similarity(extractor(a), extractor(b))


def report(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    *,
    lpips_params: Params | None = None,
    identity: FrozenNetwork | None = None,
) -> dict[str, np.ndarray]:
    """Scores of pairs of images by name, each float32 `[N]`.

    `psnr` and `ssim_gaussian`, `ssim_uniform` of uint8 images (SSIM only where the
    window fits); `lpips` and `identity`, if given networks. Images are `[N, H, W, C]`,
    uint8, or float in [-1, 1], which is rounded to uint8.
    """
    a, b = (
        images if images.dtype == np.uint8 else to_uint8(images)
        for images in map(np.asarray, (originals, reconstructions))
    )
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
    scores = {"psnr": psnr(x, y, value_range=_LEVELS)}
    for name, convention in _CONVENTIONS.items():
        if min(x.shape[1:3]) >= convention.taps:
            scores[name] = ssim(x, y, value_range=_LEVELS, convention=convention)
    return scores


_distance = jax.jit(lpips.distance)


def _lpips(params: Params, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(a), _BATCH):
        pair = (from_uint8(images[start : start + _BATCH]) for images in (a, b))
        found.append(np.asarray(_distance(params, *pair)))
    return np.concatenate(found)


def text(scores: Mapping[str, Any]) -> str:
    """Scores of one image on one line."""
    return ", ".join(
        f"{heading} {float(scores[key]):{style}}"
        for key, (heading, style) in FORMATS.items()
        if key in scores
    )


def table(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown table with a row per image and the means.

    `stages` have a name ("name") and scores, and are the same for all images.
    """
    first, *_ = stages.values()
    columns = [
        (place, key)
        for place in range(len(first))
        for key in FORMATS
        # Scores that some images lack stem from other flags.
        if all(key in of[place] for of in stages.values())
    ]
    heads = [f"{first[place]['name']}: {FORMATS[key][0]}" for place, key in columns]
    lines = ["| image | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    values = np.array(
        [[float(of[place][key]) for place, key in columns] for of in stages.values()]
    )
    for name, numbers in [*zip(stages, values, strict=True), ("mean", values.mean(0))]:
        cells = (
            format(number, FORMATS[key][1])
            for number, (_, key) in zip(numbers, columns, strict=True)
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
