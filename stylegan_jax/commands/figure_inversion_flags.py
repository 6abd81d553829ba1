"""Figures of `stylegan_jax.figures` about inversion, and their flags."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from stylegan_jax.commands.edit_flags import Face, read_mask
from stylegan_jax.commands.figure_flags import Drawn, Figure, Moving
from stylegan_jax.commands.flag_groups import require_at_least
from stylegan_jax.commands.inputs import Reader
from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError
from stylegan_jax.features import vgg16
from stylegan_jax.figures import reconstruction_sheet, search_film, style_loss
from stylegan_jax.figures.studio import Studio


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction(Figure):
    """Real images and what `stylegan_jax.invert` made of them, side by side."""

    # Files that it wrote, or its folder.
    codes: tuple[Path, ...] = ()
    photos: Path | None = None  # folder of the images, if they have moved

    draws_samples = False

    def draw(self, studio: Studio) -> Drawn:
        if not self.codes:
            raise UserError("--codes is missing: files that stylegan_jax.invert wrote")
        made, folder = studio.generator, self.photos
        read = reconstruction_sheet.read(self.codes, made, folder=folder)
        return reconstruction_sheet.reconstruction(studio, read)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfPictures:
    """Two pictures, and what compares them."""

    # Pictures, codes, seed:NUMBER or portrait:NUMBER, as inputs of stylegan_jax.edit.
    x: str = "portrait:50006"
    y: str = "portrait:50024"
    # vgg16 fetches its weights once; none takes moments of colours as style.
    perceptual: Literal["none", "vgg16"] = "none"
    vgg16: Path | None = None  # your own copy of the weights

    def pictures(self, studio: Studio, names: str) -> tuple[Any, ...]:
        """Pictures of flags, uint8 `[R, R, C]`, and the parameters of VGG16."""
        items, rejected = Reader(generator=studio.generator).read(
            [getattr(self, name) for name in names]
        )
        if rejected:
            raise UserError(rejected[0])
        if len(items) != len(names):
            raise UserError(f"{len(items)} pictures for `x` and `y`; give one each")
        wanted = self.perceptual == "vgg16"
        return *(x.picture for x in items), vgg16.load(self.vgg16) if wanted else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masked(OfPictures):
    """Two pictures and a mask."""

    # As in stylegan_jax.edit: left, face, box:LEFT,TOP,RIGHT,BOTTOM, a picture, ...
    mask: str = "left"
    feather: float = 0.05  # deviation of the blur of its edge, a fraction of the side
    face: Face = "portraits"  # how faces are placed

    def loss(self, studio: Studio) -> style_loss.Loss:
        """Equation 1 of the pictures."""
        x, y, features = self.pictures(studio, "xy")
        if not 0 <= self.feather < 1:
            raise UserError(f"--feather {self.feather} is not from 0 to 1")
        mask = read_mask(self.mask, studio.resolution, self.face)
        return style_loss.Loss(x, y, masks.feather(mask, self.feather), features)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossMasks(Masked, Figure):
    """The masks of Image2StyleGAN++'s loss over two pictures."""

    draws_samples = False

    def draw(self, studio: Studio) -> Drawn:
        return style_loss.loss_masks(studio, self.loss(studio))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gram(OfPictures, Figure):
    """Gram matrices of two pictures, and their difference: a loss of style."""

    draws_samples = False

    def draw(self, studio: Studio) -> Drawn:
        return style_loss.gram_matrices(studio, *self.pictures(studio, "xy"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inversion(Masked, Moving):
    """A search for latents, then for noise; a strip, and a film.

    With --whole x counts everywhere; otherwise x inside the mask and y outside.
    """

    whole: bool = False
    steps: int = 300  # iterations for latents
    noise_steps: int = 200  # for noise; 0 leaves them out
    learning_rate: float = 0.05  # of latents
    every: int = 10  # iterations from frame to frame
    fps: int = 10  # frames per second

    draws_samples = False

    def draw(self, studio: Studio) -> Drawn:
        require_at_least(self, steps=1, noise_steps=0, every=1)
        if self.whole:
            x, features = self.pictures(studio, "x")
            loss = style_loss.Loss(x, vgg16=features)
        else:
            loss = self.loss(studio)
        names = ("steps", "noise_steps", "learning_rate", "every")
        options = {name: getattr(self, name) for name in names}
        return search_film.inversion(studio, loss, quiet=False, **options)
