"""How near a picture is to another, pixel by pixel: PSNR and SSIM.

Images are float `[N, H, W, C]`, and `value_range` says which values are black and
white: (-1, 1) here, (0, 255) for uint8 turned to float. Both matter: SSIM takes the
brightness of black as 0. All functions can be jit-compiled and differentiated.

Sources: Wang et al. 2004, "Image quality assessment: from error visibility to
structural similarity", section 3; the conventions are those of scikit-image's
`structural_similarity` and of torchmetrics.
"""

import dataclasses
import math
from typing import Literal

import chex
import jax.numpy as jnp
from jax import Array

from stylegan_jax.errors import UserError

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Convention:
    """What "SSIM" leaves open; values of different conventions do not compare.

    Attributes:
        taps: side of the window in pixels, odd.
        sigma: of a Gaussian window in pixels; None is a uniform window.
        sample: divides (co)variances by `taps^2 - 1` instead of `taps^2`.
        border: "crop" takes only windows inside the image; "reflect" one around
            every pixel of the image mirrored at its edge pixels.
    """

    taps: int
    sigma: float | None
    sample: bool
    border: Literal["crop", "reflect"]


# Wang et al., and scikit-image with `gaussian_weights=True, sigma=1.5,
# use_sample_covariance=False`.
GAUSSIAN = Convention(taps=11, sigma=1.5, sample=False, border="crop")
# scikit-image's default.
UNIFORM = Convention(taps=7, sigma=None, sample=True, border="crop")
TORCHMETRICS = Convention(taps=11, sigma=1.5, sample=False, border="reflect")


def psnr(x: Array, y: Array, *, value_range: Range) -> Array:
    """Peak signal-to-noise ratio in dB, `[N]`: `10 log10((white - black)^2 / MSE)`.

    The error is averaged over pixels and channels. Equal images give infinity.
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
    """Structural similarity of the windows around each pixel, channel by channel.

    Args:
        x: `[N, H, W, C]`.
        y: as `x`.
        value_range: black and white.
        convention: the window, what it does at the border, and how it divides.

    Returns:
        `[N, H, W, C]`, less `taps - 1` rows and columns where the border is cropped.

    Raises:
        UserError: images smaller than the window.
    """
    chex.assert_rank([x, y], 4)
    chex.assert_equal_shape([x, y])
    if min(x.shape[1:3]) < convention.taps:
        raise UserError(
            f"images of {x.shape[1]}x{x.shape[2]} px are smaller than the window of "
            f"{convention.taps} px; enlarge them"
        )
    black, white = value_range
    # From -0.5 to 0.5, not 0 to 1: less is lost where squares of means are taken off.
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
    radius, weights = convention.taps // 2, _weights(convention)
    if convention.border == "reflect":
        x = jnp.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)), "reflect")
    # Sums of shifted images rather than convolutions: exact in float32 on devices
    # whose convolutions round to fewer bits.
    height, width = x.shape[1] - 2 * radius, x.shape[2] - 2 * radius
    x = sum(w * x[:, i : i + height] for i, w in enumerate(weights))  # type: ignore
    return sum(w * x[:, :, i : i + width] for i, w in enumerate(weights))  # type: ignore


def _weights(convention: Convention) -> list[float]:
    radius, sigma = convention.taps // 2, convention.sigma
    if sigma is None:
        return [1 / convention.taps] * convention.taps
    bell = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    return [value / sum(bell) for value in bell]
