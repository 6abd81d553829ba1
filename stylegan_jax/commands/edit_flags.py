"""Flags that several operations of `stylegan_jax.edit` have."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from stylegan_jax.commands.flag_groups import (
    ClassIndex,
    Cutoff,
    Faces,
    FeatureWeights,
    OfNetwork,
    require_at_least,
)
from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.feature_nets import Perceptual

Paste = Literal["change", "whole"]
Face = Literal["ffhq", "portraits"]
Inputs = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(
        metavar="INPUTS",
        help="seed:NUMBER, seed:NUMBER:class=NUMBER, portrait:NUMBER, files of codes, "
        "pictures, or folders.",
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(OfNetwork, FeatureWeights, Faces):
    """Flags of all operations."""

    # What photographs are compared by, besides pixels. preset: VGG16 if its weights are
    # here already, otherwise the included network; vgg16 and lpips fetch theirs.
    perceptual: Perceptual = "preset"
    w_steps: int | None = None  # iterations for latents; by default the algorithm's
    noise_steps: int | None = None  # iterations for noise; 0 leaves them out
    features: Path | None = None  # a network of your own, for --perceptual own
    # The class of photographs, from 0, of a conditional network; seeds have their own.
    class_index: ClassIndex = None
    psi: float = 0.7  # truncation of seed: inputs
    cutoff: Cutoff = 8  # layers that are truncated; none: all of them
    # What goes back into the photograph: what the edit changed, which leaves its fine
    # detail, or the whole crop.
    paste: Paste = "change"

    def check(self) -> None:
        """Raises UserError for flags that do not go together."""
        self.check_faces()
        if self.perceptual == "own" and self.features is None:
            raise UserError("--perceptual own goes with --features FILE")
        require_at_least(self, w_steps=1, noise_steps=0, cutoff=0)
        feather = getattr(self, "feather", 0.0)  # of operations with masks
        if not 0 <= feather < 1:
            raise UserError(f"--feather {feather} is not from 0 to 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskFlags:
    """Flags of operations with a mask."""

    # box:LEFT,TOP,RIGHT,BOTTOM or ellipse:X,Y,RADIUS_X,RADIUS_Y in fractions of the
    # side; a part of an aligned face: left-eye, right-eye, eyes, brows, nose, mouth,
    # face, hair; left, right, top, bottom; or a picture, white inside (of class numbers
    # NAME.png=NUMBER). Joined by +.
    mask: str
    soft: bool = False  # keeps the grey of a picture; else a half and more is inside
    feather: float = 0.03  # deviation of the blur of its edge, a fraction of the side
    face: Face = "ffhq"  # how faces are aligned, for parts of faces

    def soft_mask(self, resolution: int) -> np.ndarray:
        """The mask with a blurred edge."""
        mask = read_mask(self.mask, resolution, self.face, soft=self.soft)
        return masks.feather(mask, self.feather)


def read_mask(
    text: str, resolution: int, face: Face, *, soft: bool = False
) -> np.ndarray:
    """The mask of `masks.parse`; prints the share that is inside."""
    mask = masks.parse(text, resolution, masks.FRAMES[face], soft=soft)
    inside = mask >= 0.5
    print(
        f"mask {text}: {inside.sum()} of {inside.size} pixels are inside "
        f"({inside.mean():.1%}), {resolution}x{resolution}"
    )
    return mask
