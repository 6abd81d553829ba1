"""Results of an inversion, and their files.

For an image NAME: `NAME.safetensors` (latents, noise, configuration, seed, scores),
`NAME.png` (the code's picture), `NAME_stages.png` (the image and the picture of each
stage), `NAME_loss.png` (the losses), of pivotal tuning `NAME_network.safetensors` (the
network), and optionally `NAME.mp4`.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.encoder import digest
from stylegan_jax.io import grids, plots, video
from stylegan_jax.io.outputs import write_png
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator

_NETWORK = "_network.safetensors"
ENDINGS = (".png", ".safetensors", "_stages.png", "_loss.png", _NETWORK, ".mp4")
_log = logging.getLogger(__name__)
_SHOWN = 128  # pixels of a picture in a row, at least


class StageResult(NamedTuple):
    """A stage of one image."""

    name: str
    code: Code  # its last, or if `failed` the best before
    picture: np.ndarray  # uint8 [H, W, C]
    loss: float
    history: np.ndarray  # losses by iteration
    failed: bool  # the loss was not finite

    __repr__ = short_repr


@dataclasses.dataclass(frozen=True)
class Inversion:
    """The inversion of one image."""

    index: int  # of the image among those given
    start: str  # name of the start with the best result
    stages: tuple[StageResult, ...]
    frames: np.ndarray | None  # pictures on the way, uint8 [frames, H, W, C]
    network: Generator | None = None  # tuned to the image; draws it from the code

    __repr__ = short_repr

    @property
    def code(self) -> Code:
        """The result."""
        return self.stages[-1].code

    @property
    def failed(self) -> bool:
        """Whether a stage met a loss that was not finite."""
        return any(stage.failed for stage in self.stages)


class Progress(NamedTuple):
    """A step of `invert`."""

    stage: str
    iterations: int  # since the last step, times images
    loss: float  # mean of the images
    finished: tuple[Inversion, ...] = ()  # images whose inversion is complete


def write(
    outdir: Path,
    name: str,
    target: np.ndarray,
    found: Inversion,
    *,
    about: dict[str, Any],
    psnr: Sequence[float] | np.ndarray,
    fps: int | None = None,
    licence: str = "",
) -> None:
    """Writes the files of one image, the code last: it marks a complete set.

    `target` is uint8 `[H, W, C]`, `about` metadata of the code, `psnr` of each stage in
    dB; `fps` of None makes no video; `licence` is of the network.
    """
    pictures = [target, *(stage.picture for stage in found.stages)]
    labels = ["image"] + [
        f"{stage.name} {decibels:.1f} dB"
        for stage, decibels in zip(found.stages, psnr, strict=True)
    ]
    write_png(outdir / f"{name}.png", found.stages[-1].picture, "picture")
    row = grids.labelled(pictures, len(pictures), column_labels=labels, at_least=_SHOWN)
    write_png(outdir / f"{name}_stages.png", row, "sheet")
    lines = {stage.name: x for stage in found.stages if len(x := stage.history)}
    if lines:
        axes = {"x_label": "iteration", "y_label": "loss"}
        plot = plots.curves(lines, title=name, **axes)
        write_png(outdir / f"{name}_loss.png", plot, "sheet")
    if fps is not None and found.frames is not None:
        target_too = np.broadcast_to(target, found.frames.shape)
        video.write(
            outdir / f"{name}.mp4", np.concatenate([target_too, found.frames], 2), fps
        )
    if found.network is not None:
        path, source = outdir / f"{name}{_NETWORK}", str(about.get("network_path", ""))
        exported.save(path, found.network, source=source, licence=licence)
    codes.save(outdir / f"{name}.safetensors", found.code, about)


def is_network(path: Path) -> bool:
    """Whether a file is the tuned network beside an image's code."""
    name = path.name.removesuffix(_NETWORK)
    return name != path.name and path.with_name(f"{name}.safetensors").exists()


def code_files(folder: Path) -> list[Path]:
    """The codes in a folder of results, by name; UserError if there are none."""
    found = sorted(folder.glob("*.safetensors"))
    found = [path for path in found if not is_network(path)]
    if not found:
        raise UserError(f"{folder} has no codes; python -m stylegan_jax.invert does")
    return found


def load_code(path: Path, generator: Generator) -> codes.StoredCode:
    """As `inversion.code.load`; logs if another network was tuned to the image."""
    found = codes.load(path, generator)
    tuned = path.with_name(f"{path.stem}{_NETWORK}")
    if tuned.exists() and digest(exported.load(tuned)) != digest(generator):
        _log.warning(
            "%s was found with a network tuned to its image, and this one draws "
            "another picture of it; give %s as the network",
            path,
            tuned,
        )
    return found


def is_done(outdir: Path, name: str, about: dict[str, Any]) -> bool:
    """Whether an image's files exist; UserError if of another image or settings."""
    path = outdir / f"{name}.safetensors"
    if not path.exists():
        return False
    stored = codes.load(path).about
    different = [key for key, value in about.items() if stored.get(key) != value]
    if different:
        raise UserError(
            f"{path} was made of another {' and '.join(different)}; give another "
            "`outdir`"
        )
    return True
