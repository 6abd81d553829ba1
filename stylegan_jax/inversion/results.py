"""What is written about an inverted image, and how it is found again.

For an image NAME: `NAME.safetensors` (latents, noise, configuration, seed, scores),
`NAME.png` (the picture of the code), `NAME_stages.png` (the image and what each stage
made of it), `NAME_loss.png` (the losses), and `NAME.mp4` if it is wanted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.inverter import Inversion
from stylegan_jax.inversion.scores import FORMATS, Scores
from stylegan_jax.io import grids, plots, video
from stylegan_jax.io.outputs import write_png

ENDINGS = (".png", ".safetensors", "_stages.png", "_loss.png", ".mp4")
_SHOWN = 128  # pixels of a picture in a row, at least


def write(
    outdir: Path,
    name: str,
    target: np.ndarray,
    found: Inversion,
    *,
    about: dict[str, Any],
    scores: Sequence[Scores],
    fps: int | None = None,
) -> None:
    """Writes the files of one image; the code last, so that it marks a whole set.

    Args:
        outdir: where to.
        name: of the image, without ending.
        target: the image, uint8 `[H, W, C]`.
        found: its inversion.
        about: what is stored with the code.
        scores: of each stage.
        fps: frames per second of a video; None makes none.
    """
    pictures = [target, *(stage.picture for stage in found.stages)]
    labels = ["image"] + [
        f"{stage.name} {score['psnr']:.1f} dB"
        for stage, score in zip(found.stages, scores, strict=True)
    ]
    write_png(outdir / f"{name}.png", found.stages[-1].picture, "picture")
    write_png(outdir / f"{name}_stages.png", row(pictures, labels), "sheet")
    plot = plots.curves(
        {stage.name: stage.history for stage in found.stages},
        title=name,
        x_label="iteration",
        y_label="loss",
    )
    write_png(outdir / f"{name}_loss.png", plot, "sheet")
    if fps is not None and found.frames is not None:
        target_too = np.broadcast_to(target, found.frames.shape)
        video.write(
            outdir / f"{name}.mp4", np.concatenate([target_too, found.frames], 2), fps
        )
    codes.save(outdir / f"{name}.safetensors", found.code, about)


def row(pictures: Sequence[np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """Pictures side by side with captions; small ones are enlarged."""
    factor = -(-_SHOWN // pictures[0].shape[0])
    enlarged = np.stack(pictures).repeat(factor, axis=1).repeat(factor, axis=2)
    return grids.grid(enlarged, len(pictures), padding=2, column_labels=labels)


def is_done(outdir: Path, name: str, about: dict[str, Any]) -> bool:
    """Whether the files of an image are there, of the same image and settings.

    Raises:
        UserError: they are of other ones.
    """
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


def table(
    names: Sequence[str], scores: Mapping[str, Sequence[tuple[str, Scores]]]
) -> str:
    """A Markdown table: a row per image, and the means.

    Args:
        names: of the images.
        scores: of each image, by stage.
    """
    stages = [stage for stage, _ in scores[names[0]]]
    columns = [
        (place, stage, key)
        for place, stage in enumerate(stages)
        for key in FORMATS
        # What some lack, of an earlier call with other flags, none is shown.
        if all(key in scores[name][place][1] for name in names)
    ]
    heads = [f"{stage}: {FORMATS[key][0]}" for _, stage, key in columns]
    lines = ["| image | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    values = np.array(
        [[scores[name][place][1][key] for place, _, key in columns] for name in names]
    )
    for name, numbers in [*zip(names, values, strict=True), ("mean", values.mean(0))]:
        cells = (
            format(number, FORMATS[key][1])
            for number, (_, _, key) in zip(numbers, columns, strict=True)
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
