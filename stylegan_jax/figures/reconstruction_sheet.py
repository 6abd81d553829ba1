"""Sheets of real images and their reconstructions."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.alignment.faces import MissingLandmarkerError
from stylegan_jax.errors import UserError
from stylegan_jax.figures.studio import Studio, as_grey, gain_for, grey_levels
from stylegan_jax.inversion import photos, results
from stylegan_jax.inversion.code import Code
from stylegan_jax.metrics.reconstruction import report
from stylegan_jax.networks.generator import Generator


class Inverted(NamedTuple):
    """Real image, uint8 `[R, R, C]`, and its code."""

    image: np.ndarray
    code: Code


def reconstruction(studio: Studio, inverted: Sequence[Inverted]) -> np.ndarray:
    """Real images, drawn from latents, and from latents and noise; uint8 `[H, W, 3]`.

    Latents alone use the network's own noise; networks without noise have one such row.
    Numbers are PSNR in dB; the last row is the last reconstruction's grey-level error.
    """
    real = [one.image for one in inverted]
    drawn = {"latents": [studio.draw(np.asarray(one.code.ws))[0] for one in inverted]}
    if studio.generator.config.use_noise:
        full = studio.draw_each(one.code for one in inverted)
        drawn["latents and noise"] = list(full)
    best = list(drawn.values())[-1]
    changes = np.abs(grey_levels(np.stack(real)) - grey_levels(np.stack(best)))
    gain = gain_for(changes)
    rows = [real, *drawn.values(), [as_grey(gain * change) for change in changes]]
    captions = [""] * len(real)
    for row in drawn.values():
        psnr = report(np.stack(real), np.stack(row))["psnr"]
        captions += [f"{decibels:.1f} dB" for decibels in psnr]
    return studio.page(
        rows,
        row_labels=["real", *drawn, f"difference × {gain:g}"],
        captions=[*captions, *[""] * len(real)],
    )


def read(
    paths: Sequence[Path], generator: Generator, *, folder: Path | None = None
) -> list[Inverted]:
    """Codes of `stylegan_jax.invert` with their images.

    `paths` are .safetensors files, or folders of them; `folder` has the images if they
    were moved. Raises UserError for codes of another network, or other images.
    """
    files: list[Path] = []
    for path in paths:
        files += results.code_files(path) if path.is_dir() else [path]
    return [_read_one(file, generator, folder) for file in files]


def _read_one(path: Path, generator: Generator, folder: Path | None) -> Inverted:
    code, about = results.load_code(path, generator)
    image = Path(about.get("file", ""))
    if not image.name:
        raise UserError(
            f"{path} does not say which image it is of; give files that python -m "
            "stylegan_jax.invert wrote"
        )
    image = folder / image.name if folder is not None else image
    if not image.is_file():
        raise UserError(f"{image}, of {path}, is not there; `photos` says where it is")
    size, channels = generator.resolution, generator.config.num_channels
    reason = "they are other pixels"
    for aligned in (False, True):
        try:
            found, refused = photos.read([image], size, channels, aligned=aligned)
        except MissingLandmarkerError as error:
            reason = f"{reason}; {error}"
            continue
        for photo in found:
            mark = hashlib.sha256(photo.pixels.tobytes()).hexdigest()
            if mark == about.get("image"):
                return Inverted(photo.pixels, code[:1])
        reason = refused[0].reason if refused else reason
    raise UserError(
        f"{image} is not the image that {path} is the code of, nor is a face cut out "
        f"of it: {reason}"
    )
