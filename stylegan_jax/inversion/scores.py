"""How near a result is to its image, as `metrics/reconstruction_report.py` measures it.

All of 8-bit pictures, as they are in the files: PSNR with peak 255, and SSIM with the
window of Wang et al. 2004.
"""

from collections.abc import Mapping

import numpy as np

from stylegan_jax.features.extractor import Extractor, Params
from stylegan_jax.metrics import reconstruction_report

Scores = dict[str, float]

# For people: heading, and how a number is written; in this order.
FORMATS: Mapping[str, tuple[str, str]] = {
    "psnr": ("PSNR dB", ".2f"),
    "ssim_gaussian": ("SSIM", ".4f"),
    "lpips": ("LPIPS", ".4f"),
    "identity": ("identity", ".4f"),
}


def score(
    picture: np.ndarray,
    target: np.ndarray,
    features: Params | None = None,
    identity: Extractor | None = None,
) -> Scores:
    """Scores of a picture, uint8 `[H, W, C]` both.

    Args:
        picture: the result.
        target: the image.
        features: parameters of LPIPS; None leaves it out.
        identity: a network that knows people apart; None leaves it out.

    Returns:
        By name, as of `reconstruction_report.report`; SSIM is left out of images
        smaller than its windows (11 and 7 px).
    """
    found = reconstruction_report.report(
        target[None], picture[None], lpips_params=features, identity=identity
    )
    return {name: float(values[0]) for name, values in found.items()}


def text(scores: Mapping[str, float]) -> str:
    """Scores in a line."""
    return ", ".join(
        f"{heading} {scores[key]:{style}}"
        for key, (heading, style) in FORMATS.items()
        if key in scores
    )
