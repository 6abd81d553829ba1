"""Flags that several operations of `stylegan_jax.edit` have."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from stylegan_jax import loading
from stylegan_jax.commands.flag_groups import (
    ClassIndex,
    Cutoff,
    FeatureWeights,
    OfNetwork,
    layers_of,
)
from stylegan_jax.editing import masks
from stylegan_jax.editing.workbench import Paste, Settings, Workbench
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.recipes import Perceptual
from stylegan_jax.io import outputs

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
class Command(OfNetwork, FeatureWeights):
    """Flags of all operations."""

    # What photographs are compared by, besides pixels; none needs no other networks.
    perceptual: Literal["vgg16", "lpips", "own", "none"] = "vgg16"
    w_steps: int | None = None  # iterations for latents; by default the algorithm's
    noise_steps: int | None = None  # iterations for noise; 0 leaves them out
    features: Path | None = None  # a network of your own, for --perceptual own
    # The class of photographs, from 0, of a conditional network; seeds have their own.
    class_index: ClassIndex = None
    psi: float = 0.7  # truncation of seed: inputs
    cutoff: Cutoff = 8  # layers that are truncated; none: all of them
    # Cuts the largest face out of pictures, as FFHQ's are; results are written in the
    # photograph too. Otherwise pictures are crops, or their central squares are taken.
    align: bool = False
    # Where the faces are, instead of looking for them: a file of landmarks, or a folder
    # of files named as the photographs (docs/alignment.md).
    landmarks: Path | None = None
    # What goes back into the photograph: what the edit changed, which leaves its fine
    # detail, or the whole crop.
    paste: Paste = "change"

    def bench(self) -> Workbench:
        """Loads the network and makes the folder."""
        if self.landmarks is not None and not self.align:
            raise UserError("--landmarks goes with --align")
        if self.landmarks is not None and not self.landmarks.exists():
            raise UserError(f"{self.landmarks}: there is no such file or folder")
        perceptual: Perceptual = self.perceptual
        settings = Settings(
            perceptual=perceptual,
            w_steps=self.w_steps,
            noise_steps=self.noise_steps,
            vgg16=self.vgg16,
            lpips=self.lpips,
            features=self.features,
            class_index=self.class_index,
            psi=self.psi,
            cutoff=layers_of(self.cutoff),
            aligned=self.align,
            landmarks=self.landmarks,
            paste=self.paste,
        )
        named = outputs.files_named_in(self)
        return Workbench(loading.load(self.network), self.outdir, settings, named)

    def run(self, bench: Workbench) -> None:
        """Does it."""
        raise NotImplementedError


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
    face: Literal["ffhq", "portraits"] = "ffhq"  # how faces are placed

    def hard_mask(self, bench: Workbench) -> np.ndarray:
        """The mask as described, `[1, R, R, 1]`."""
        return self._mask(bench, soft=False)

    def soft_mask(self, bench: Workbench) -> np.ndarray:
        """The mask with a blurred edge."""
        if not 0 <= self.feather < 1:
            raise UserError(f"--feather {self.feather} is not from 0 to 1")
        return masks.feather(self._mask(bench, soft=self.soft), self.feather)

    def _mask(self, bench: Workbench, *, soft: bool) -> np.ndarray:
        frame, resolution = masks.FRAMES[self.face], bench.generator.resolution
        return masks.parse(self.mask, resolution, frame, soft=soft, report=print)


def shown(mask: np.ndarray, channels: int) -> np.ndarray:
    """A mask as a picture, uint8 `[R, R, C]`."""
    grey = np.rint(255 * mask[0]).astype(np.uint8)
    return np.broadcast_to(grey, (*grey.shape[:2], channels))


def numbers(text: str, flag: str) -> list[float]:
    """Reads `0,0.5,1`; raises UserError."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not np.isfinite(found).all():
        raise UserError(f"{flag} {text}: give numbers such as 0,0.5,1")
    return found
