"""Prepares training images: converts any source to a pyramid of all resolutions.

    python -m stylegan_jax.prepare_data --data.name folder --data.path ~/photos \
        --dest data/photos256 --resolution 256

The source has training's flags; `--data.mirror` and `--data.cache-gb` have no effect.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from stylegan_jax.commands import cli
from stylegan_jax.commands.flag_groups import require_at_least
from stylegan_jax.data import config as data_config
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.pyramid_writer import check_destination, write_pyramid
from stylegan_jax.data.sources import open_source
from stylegan_jax.io.terminal import progress_bar


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareArgs:
    """Prepares images for training: stores each one at every resolution.

    Train on the result with --data.name pyramid --data.path DEST.
    """

    dest: Path  # folder to make; it appears when it is complete
    resolution: int  # of the highest level in pixels, a power of two
    # What to prepare.
    data: DataConfig = DataConfig()
    shard_mb: int = 512  # size of a file before compression, MB


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(PrepareArgs, argv, prog="python -m stylegan_jax.prepare_data")
    require_at_least(args, shard_mb=1)
    check_destination(args.dest, args.resolution)
    data, said = data_config.by_path(args.data, named=cli.is_given("data.name", argv))
    if said:
        print(said)
    source = open_source(data)
    with progress_bar() as progress:
        task = progress.add_task("", total=len(source))
        count = write_pyramid(
            source,
            args.dest,
            resolution=args.resolution,
            shard_bytes=args.shard_mb * 10**6,
            advance=lambda images: progress.advance(task, images),
        )
    left_out = len(source) - count
    damaged = f", {left_out} damaged ones left out" if left_out else ""
    print(f"{count} images at 4 to {args.resolution} px in {args.dest}{damaged}")
