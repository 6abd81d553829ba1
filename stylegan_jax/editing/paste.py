"""An edit of a face goes back into the photograph that was inverted.

`stylegan_jax.invert` stores with a code the file it read and where in it the picture
lies; that is all this needs.
"""

import os
from pathlib import Path

import numpy as np

from stylegan_jax.alignment import paste
from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError
from stylegan_jax.inversion.batch import draw_pictures
from stylegan_jax.inversion.code import Code, StoredCode
from stylegan_jax.networks.generator import Generator


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
    quad, file = inverted.about.get("quad"), inverted.about.get("file")
    if quad is None or (photograph is None and file is None):
        raise UserError(
            "this code does not say where its picture lies in a photograph; invert the "
            "photograph again with python -m stylegan_jax.invert"
        )
    path = Path(photograph or str(file))
    if not path.is_file():
        raise UserError(f"{path}: the photograph that was inverted is not there")
    pictures = [
        images.convert_channels(draw_pictures(generator, code)[0], 3)
        for code in (edited, inverted.code)
    ]
    try:
        return paste.paste_back(
            images.read_image(path, 3),
            pictures[0],
            np.asarray(quad, np.float64),
            feather=feather,
            unedited=None if whole else pictures[1],
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
