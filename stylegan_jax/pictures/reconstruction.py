"""Real images beside what their codes draw."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.common.errors import UserError
from stylegan_jax.common.sheet import make_sheet
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import photos
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.scores import score
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pictures.maps import as_grey, gain_for, grey_levels
from stylegan_jax.pictures.studio import Studio, rgb


class Inverted(NamedTuple):
    """A real image, uint8 `[R, R, C]`, and the code that was found for it."""

    image: np.ndarray
    code: Code


def reconstruction(studio: Studio, inverted: Sequence[Inverted]) -> np.ndarray:
    """Real images above, what their codes draw below, and the difference.

    The numbers are PSNR in dB. The difference is that of grey levels.
    """
    drawn = [picture for one in inverted for picture in studio.draw_each([one.code])]
    pairs = list(zip([one.image for one in inverted], drawn, strict=True))
    changes = [np.abs(grey_levels(a) - grey_levels(b)) for a, b in pairs]
    gain = gain_for(np.stack(changes))
    scores = [f"{score(b, a)['psnr']:.1f} dB" for a, b in pairs]
    sheet = make_sheet(
        3,
        len(pairs),
        studio.resolution,
        row_labels=["real", "reconstructed", f"difference × {gain:g}"],
        captions=[*[""] * len(pairs), *scores, *[""] * len(pairs)],
        at_least=studio.cell,
    )
    rows = [[rgb(a) for a, _ in pairs], [rgb(b) for _, b in pairs]]
    rows.append([rgb(as_grey(gain * change)) for change in changes])
    return sheet.fill([picture for row in rows for picture in row])


def read(
    paths: Sequence[Path], generator: Generator, *, folder: Path | None = None
) -> list[Inverted]:
    """Reads codes that `stylegan_jax.invert` wrote, and the images they are of.

    Args:
        paths: of .safetensors files, or folders of them.
        generator: whose codes they are.
        folder: where the images are, if not where they were.

    Raises:
        UserError: no codes, codes of another network, or not the images that were
            inverted.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path} has no codes; python -m stylegan_jax.invert does")
        files += inside
    return [_read_one(file, generator, folder) for file in files]


def _read_one(path: Path, generator: Generator, folder: Path | None) -> Inverted:
    code, about = codes.load(path, generator)
    image = Path(about.get("file", ""))
    if not image.name:
        raise UserError(
            f"{path} does not say which image it is of; give files that python -m "
            "stylegan_jax.invert wrote"
        )
    image = folder / image.name if folder is not None else image
    if not image.is_file():
        raise UserError(
            f"{image}, the image of {path}, is not there; --photos says "
            "where its folder is now"
        )
    size, channels = generator.resolution, generator.config.num_channels
    reason = "it is another one now"
    for aligned in (False, True):
        found, refused = photos.read([image], size, channels, aligned=aligned)
        if found and _digest(found[0].pixels) == about.get("image"):
            return Inverted(found[0].pixels, code[:1])
        reason = refused[0].reason if refused else reason
    raise UserError(f"{image} is not the image that {path} is the code of: {reason}")


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()
