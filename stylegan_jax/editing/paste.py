"""Edits pasted back into the photograph that a face was cut out of."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.alignment.pasting import paste_back
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, StoredCode, draw_pictures
from stylegan_jax.io import images
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a picture was cut out."""

    photograph: Path
    quad: np.ndarray  # float64 [4, 2], its corners: see `alignment.ffhq`

    def about(self) -> dict[str, Any]:
        """What files of codes say of it; read by `place_of`."""
        path = os.path.abspath(self.photograph)  # the folder may be another one later
        return {"photograph": path, "quad": self.quad.tolist()}

    def paste(
        self,
        crop: np.ndarray,
        *,
        unedited: np.ndarray | None = None,
        feather: float = 0.1,
    ) -> np.ndarray:
        """The photograph with an edited crop, as `alignment.paste.paste_back`.

        Raises:
            UserError: the photograph is not there, no image, or another one.
        """
        path = self.photograph
        if not path.is_file():
            raise UserError(f"{path}: the photograph of this picture is not there")
        if unedited is not None:
            unedited = images.convert_channels(unedited, 3)
        try:
            return paste_back(
                images.read_image(path, 3),
                images.convert_channels(crop, 3),
                self.quad,
                feather=feather,
                unedited=unedited,
            )
        except (UserError, images.UnreadableImageError) as error:
            raise UserError(f"{path}: {error}") from error


def place_of(about: Mapping[str, Any]) -> Place | None:
    """The place that a file of codes tells of, if it does.

    `stylegan_jax.invert` calls the photograph `file`.

    Raises:
        UserError: `quad` is something else than four points.
    """
    photograph = about.get("photograph") or about.get("file")
    if about.get("quad") is None or not photograph:
        return None
    try:
        quad = np.asarray(about["quad"], np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the quad {about['quad']} is not of numbers") from error
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise UserError(f"the quad {about['quad']} is not four points (x, y)")
    return Place(Path(str(photograph)), quad)


def paste_edit(
    generator: Generator,
    edited: Code,
    inverted: StoredCode,
    *,
    photograph: str | os.PathLike[str] | None = None,
    whole: bool = False,
    feather: float = 0.1,
) -> np.ndarray:
    """Lays what an edit changed over the photograph.

    Added is the difference of the pictures of both codes, so that detail stays which
    the network does not draw or the inversion has missed.

    Args:
        generator: whose codes they are.
        edited: of one image.
        inverted: what `inversion.code.load` reads of `invert`'s file, of one image.
        photograph: where the photograph is now; by default where `invert` read it.
        whole: lays the whole picture over the photograph, not the difference.
        feather: as of `alignment.paste.paste_back`.

    Returns:
        The photograph, uint8 `[H, W, 3]`.

    Raises:
        UserError: several images, a code that is not of a photograph, or one whose
            photograph is not there or too small to be it.
    """
    if len(edited) != 1 or len(inverted.code) != 1:
        raise UserError(
            f"{len(edited)} edited and {len(inverted.code)} inverted images: one of "
            "each is pasted back"
        )
    given = {} if photograph is None else {"photograph": os.fspath(photograph)}
    place = place_of({**inverted.about, **given})
    if place is None:
        raise UserError(
            "this code does not say where its picture lies in a photograph; invert the "
            "photograph again with python -m stylegan_jax.invert"
        )
    after, before = (
        draw_pictures(generator, code)[0] for code in (edited, inverted.code)
    )
    return place.paste(after, unedited=None if whole else before, feather=feather)
