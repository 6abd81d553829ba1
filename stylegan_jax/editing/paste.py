"""Edited crops pasted back into their photographs."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.alignment.crops import paste_back
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, StoredCode, draw_pictures
from stylegan_jax.io import images
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Place:
    """A crop's photograph and quad."""

    photograph: Path
    quad: np.ndarray  # float64 [4, 2], its corners: see `alignment.ffhq`

    def about(self) -> dict[str, Any]:
        """Metadata for files of codes; read by `place_of`."""
        path = os.path.abspath(self.photograph)  # the folder may be another one later
        return {"photograph": path, "quad": self.quad.tolist()}

    def paste(
        self,
        crop: np.ndarray,
        *,
        unedited: np.ndarray | None = None,
        feather: float = 0.1,
    ) -> np.ndarray:
        """The photograph with an edited crop, as `alignment.crops.paste_back`."""
        path = self.photograph
        try:
            return paste_back(
                images.read_image(path, 3),
                images.convert_channels(crop, 3),
                self.quad,
                feather=feather,
                unedited=None
                if unedited is None
                else images.convert_channels(unedited, 3),
            )
        except FileNotFoundError:
            raise UserError(
                f"{path}: the photograph of this picture is not there"
            ) from None
        except (UserError, images.UnreadableImageError) as error:
            raise UserError(f"{path}: {error}") from error


def place_of(about: Mapping[str, Any]) -> Place | None:
    """The place in a code file's metadata, if any."""
    photograph = about.get("photograph") or about.get("file")
    if about.get("quad") is None or not photograph:
        return None
    try:
        quad = np.asarray(about["quad"], np.float64)
    except (TypeError, ValueError):
        quad = np.zeros(0)
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
    """The photograph, uint8 `[H, W, 3]`, with an edit of its face.

    The difference of both codes' pictures is added, which keeps detail that the network
    does not draw or the inversion missed; `whole` pastes the whole picture. `inverted`
    is `inversion.code.load` of the file that `invert` wrote, of one image; `photograph`
    is by default where `invert` read it. UserError for several images, or a missing,
    unknown or too small photograph.
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
