"""Draws images from seeds: `python -m stylegan_jax.sample RUN_OR_PKL --outdir DIR`."""

import collections
import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.commands.flag_groups import (
    ClassIndex,
    Cutoff,
    Network,
    format_seeds,
    layers_of,
    parse_numbers,
    parse_seeds,
    require_at_least,
)
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io import grids, outputs
from stylegan_jax.io.outputs import Outputs
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.networks.seeds import (
    NoiseKind,
    draw_pictures,
    make_draw,
    one_hot,
    require_pictures,
)

_MAX_IN_GRID = 256
_MIN_CELL = 64  # pixels of a picture in the grid, for its captions' sake


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleArgs:
    """Draws images of a trained network: one PNG per seed, and a grid of them all."""

    # A run directory, one checkpoint in it, a .safetensors, an official .pkl, a PyTorch
    # checkpoint, or a name: portraits and faces are included, public networks such as
    # ffhq are fetched on first use.
    network: Network
    outdir: Path  # folder for the pictures; made if need be
    seeds: str = "0-63"  # such as 7 or 0-63 or 1,5,8-10
    # Truncation: 1 is none, 0 the mean image. Several values, such as 1,0.7,0, make
    # a grid of one row per seed and one column per value.
    psi: str = "0.7"
    cutoff: Cutoff = 8  # layers that are truncated; none: all of them
    # The class to draw, from 0, of a conditional network.
    class_index: ClassIndex = None
    noise: NoiseKind = "stored"  # stored with the network, drawn by seed, or none
    batch_size: int = 16  # pictures under way at once; does not change them
    grid: bool = True  # also write grid.png
    columns: int | None = None  # of the grid; by default it is about square


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(SampleArgs, argv, prog="python -m stylegan_jax.sample")
    seeds, psis = parse_seeds(args.seeds), parse_numbers(args.psi)
    require_at_least(args, cutoff=0, batch_size=1, columns=1)
    if args.columns and len(psis) > 1:
        raise UserError("--columns goes with one --psi; several are the columns")
    named = outputs.files_named_in(args)
    out = Outputs(args.outdir, inputs=named, fixed=("grid.png",))
    generator = loading.load(args.network)
    require_pictures(generator, args.network)
    if generator.truncation_mean is None and (
        len(psis) > 1 or not {*psis} <= {0.7, 1.0}
    ):
        raise UserError(
            f"{args.network} has no mean of w to truncate to; leave --psi out"
        )
    if generator.resolution < generator.config.resolution:
        print(
            f"{args.network} has grown to {generator.resolution} of "
            f"{generator.config.resolution} px: its pictures are drawn at "
            f"{generator.resolution} px",
            file=sys.stderr,
        )
    labels = one_hot(generator.config.label_size, args.class_index)

    jobs = list(itertools.product(seeds, psis))
    mesh = parallel.make_mesh()
    pictures = draw_pictures(
        generator,
        jobs,
        make_draw(mesh, cutoff=layers_of(args.cutoff), noise=args.noise),
        mesh=mesh,
        labels=labels,
        batch_size=args.batch_size,
    )
    suffix = "" if args.class_index is None else f"_class{args.class_index}"
    names = [
        f"seed{seed:04d}{suffix}" + (f"_psi{psi:g}" if len(psis) > 1 else "")
        for seed, psi in jobs
    ]
    rows = min(len(seeds), max(1, _MAX_IN_GRID // len(psis)))
    shown = write_all(out, names, pictures, keep=rows * len(psis))
    print(f"{len(jobs)} images in {args.outdir}")
    if args.grid:
        truncated = generator.truncation_mean is not None
        grid = make_grid(shown, seeds[:rows], psis if truncated else (), args.columns)
        path = out.write_png("grid.png", grid, "sheet")
        some = "" if rows == len(seeds) else f" (of the first {rows} seeds)"
        print(f"grid: {path}{some}")


def write_all(
    out: Outputs, names: Sequence[str], pictures: Iterator[np.ndarray], *, keep: int
) -> list[np.ndarray]:
    """Writes one PNG per name, with a progress bar; returns the first `keep`."""
    out.folder.mkdir(parents=True, exist_ok=True)
    kept: list[np.ndarray] = []
    writes: collections.deque[Future[None]] = collections.deque()
    # The threads compress PNGs while the devices draw.
    with ThreadPoolExecutor() as pool, progress_bar() as bar:
        drawn = bar.track(pictures, total=len(names), description="")
        for name, picture in zip(names, drawn, strict=True):
            path = out.path(f"{name}.png")
            writes.append(pool.submit(outputs.write_png, path, picture, "picture"))
            if len(kept) < keep:
                kept.append(picture)
            if len(writes) > 32:  # pictures waiting in memory
                writes.popleft().result()
        for write in writes:
            write.result()
    return kept


def make_grid(
    pictures: Sequence[np.ndarray],
    seeds: Sequence[int],
    psis: Sequence[float],
    columns: int | None,
) -> np.ndarray:
    """A grid of the pictures, captioned by seed (left) and psi (above)."""
    width = columns = columns or int(np.ceil(len(seeds) ** 0.5))
    if len(psis) > 1:
        width, columns = 1, len(psis)
    rows = [seeds[i : i + width] for i in range(0, len(seeds), width)]
    above = [f"psi {psi:g}" for psi in psis]
    return grids.labelled(
        pictures,
        columns,
        row_labels=[format_seeds(row) for row in rows],
        column_labels=[*above, *[""] * (columns - len(above))] if psis else (),
        at_least=_MIN_CELL,
    )
