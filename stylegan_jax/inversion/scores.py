"""How near a result is to its image: PSNR, SSIM and, where its weights are, LPIPS.

All of 8-bit pictures, as they are in the files: PSNR with peak 255, and SSIM with the
window of Wang et al. 2004.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.common.images import from_uint8
from stylegan_jax.features import lpips
from stylegan_jax.features.extractor import Params
from stylegan_jax.inversion.terms import as_rgb
from stylegan_jax.metrics import reconstruction

Scores = dict[str, float]

# For people: heading, and how a number is written.
FORMATS: Mapping[str, tuple[str, str]] = {
    "psnr": ("PSNR dB", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "lpips": ("LPIPS", ".4f"),
}

_lpips = jax.jit(lpips.distance)


def score(
    picture: np.ndarray, target: np.ndarray, eyes: Params | None = None
) -> Scores:
    """Scores of a picture, uint8 `[H, W, C]` both.

    Args:
        picture: the result.
        target: the image.
        eyes: parameters of LPIPS; None leaves it out.

    Returns:
        By name; SSIM is left out of images smaller than its window (11 px).
    """
    x, y = (jnp.asarray(image[None], jnp.float32) for image in (picture, target))
    levels = (0.0, 255.0)
    scores = {"psnr": float(reconstruction.psnr(x, y, value_range=levels)[0])}
    if min(picture.shape[:2]) >= reconstruction.GAUSSIAN.taps:
        scores["ssim"] = float(reconstruction.ssim(x, y, value_range=levels)[0])
    if eyes is not None:
        pair = (as_rgb(jnp.asarray(from_uint8(im[None]))) for im in (picture, target))
        scores["lpips"] = float(_lpips(eyes, *pair)[0])
    return scores
