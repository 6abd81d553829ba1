"""From a list of files of any kind to a source of images and labels.

Shared by folders and zip files. Only headers are read, so that 6,000 files take
about a second; damage further inside is met by `EncodedSource`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import IO

import numpy as np

from stylegan_jax.common import images
from stylegan_jax.common.errors import UserError
from stylegan_jax.data import labels as label_files
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.encoded import EncodedSource, Skipped

MIN_IMAGES = 2  # with fewer, the path or the labels are surely wrong
_MAX_LISTED = 5
_JUNK = {"thumbs.db", "desktop.ini", "__macosx"}  # hidden names are junk besides
_logger = logging.getLogger(__name__)

OpenFile = Callable[[str], tuple[IO[bytes], bool]]
ReadFile = Callable[[str], bytes]


def assemble(
    config: DataConfig,
    files: Sequence[str],
    *,
    name: str,
    open_file: OpenFile,
    read_file: ReadFile,
) -> EncodedSource:
    """Makes a source of those files that are images, and labelled if labels are wanted.

    Args:
        config: the data section.
        files: paths relative to the folder or zip, with forward slashes.
        name: of the source, for messages.
        open_file: file -> (stream, whether looking at its end is cheap).
        read_file: file -> all its bytes; called from several threads.

    Raises:
        UserError: too few images are left, labels are not found, or images are not
            square though `config.crop` is "none".
    """
    files = sorted(files)
    tables = {file for file in files if is_table(file)}
    candidates = [file for file in files if file not in tables]
    good, sizes, skipped = examine(candidates, open_file)
    _require(len(good), name, len(files), skipped)
    labels = _read_labels(config, good, tables, read_file, name)
    if labels is not None:
        kept = [i for i, label in enumerate(labels) if label is not None]
        skipped += [
            Skipped(file, "no label")
            for file, label in zip(good, labels, strict=True)
            if label is None
        ]
        good, sizes = [good[i] for i in kept], sizes[kept]
        labels = [labels[i] for i in kept]
        _require(len(good), name, len(files), skipped)
    odd = np.flatnonzero(sizes[:, 0] != sizes[:, 1])
    if config.crop == "none" and len(odd):
        height, width = sizes[odd[0]]
        raise UserError(
            f"{len(odd)} of {len(good)} images of {name} are not square, for example "
            f"{good[odd[0]]!r} with {width}x{height}; use crop=center"
        )
    chosen = choose(len(good), config)
    good, table = [good[i] for i in chosen], None
    if labels is not None:
        table = label_files.make_table([x for x in labels if x is not None])
        table = table.take(chosen)
    _report(name, len(files), skipped)
    return EncodedSource(
        lambda index: read_file(good[index]),
        len(good),
        name=name,
        num_channels=config.num_channels,
        labels=table,
        sides=sizes[chosen].min(1),
        skipped=sorted(skipped),
        allow_crop=config.crop == "center",
        pad=bool(config.pad),
    )


def choose(count: int, config: DataConfig) -> np.ndarray:
    """Indices of the images to use: all, or `config.max_images` drawn at random.

    The first ones would be those of one class where files are sorted by class.
    """
    if config.max_images is None or config.max_images >= count:
        return np.arange(count)
    order = np.random.default_rng(config.seed).permutation(count)
    return np.sort(order[: config.max_images])


def is_table(file: str) -> bool:
    """Whether a file is of those that hold labels."""
    return PurePosixPath(file).name == "dataset.json" or file.lower().endswith(".csv")


def is_junk(file: str) -> bool:
    """Whether a file is left behind by an operating system, or hidden."""
    parts = PurePosixPath(file).parts
    return any(part.startswith(".") or part.lower() in _JUNK for part in parts)


def examine(
    files: Sequence[str], open_file: OpenFile
) -> tuple[list[str], np.ndarray, list[Skipped]]:
    """Looks at the headers of many files at once.

    Returns:
        The names of the images, their sizes `[num_images, 2]` (height, width), and
        the other files.
    """

    def look(file: str) -> tuple[int, int] | Skipped:
        if is_junk(file):
            return Skipped(file, "a hidden or system file")
        try:
            stream, check_end = open_file(file)
            with stream:
                return images.inspect(stream, check_end=check_end)
        except (images.UnreadableImageError, OSError) as error:
            return Skipped(file, str(error))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, files))
    skipped = [result for result in found if isinstance(result, Skipped)]
    sizes = [result for result in found if not isinstance(result, Skipped)]
    bad = {result.name for result in skipped}
    good = [file for file in files if file not in bad]
    return good, np.array(sizes, np.int64).reshape(-1, 2), skipped


def _read_labels(
    config: DataConfig,
    files: list[str],
    tables: set[str],
    read_file: ReadFile,
    name: str,
) -> list[label_files.Label | None] | None:
    if config.labels == "none":
        return None
    if config.labels == "folders":
        return label_files.from_folders(files)
    wanted = {"json": "dataset.json", "csv": "labels.csv"}.get(
        config.labels, config.labels
    )
    # A zip often holds everything in one folder of its own.
    matching = sorted(
        (table for table in tables if f"/{table}".endswith(f"/{wanted}")),
        key=lambda table: table.count("/"),
    )
    if not matching:
        raise UserError(
            f"{name} has no {wanted}, which labels={config.labels} asks for"
        )
    inside = matching[0].removesuffix(wanted)
    relative = [file.removeprefix(inside) for file in files]
    try:
        text = read_file(matching[0])
    except (images.UnreadableImageError, OSError) as error:
        raise UserError(f"{matching[0]} of {name} cannot be read: {error}") from error
    if wanted.endswith(".json"):
        return label_files.from_json(text, relative)
    return label_files.from_csv(text, relative, wanted)


def _require(count: int, name: str, num_files: int, skipped: list[Skipped]) -> None:
    if count >= MIN_IMAGES:
        return
    message = f"{name} has {count} usable images, at least {MIN_IMAGES} are needed; "
    message += f"{num_files} files were seen, {len(skipped)} of them skipped"
    reasons = Counter(skip.reason for skip in skipped).most_common(_MAX_LISTED)
    if reasons:
        message += ": " + ", ".join(f"{number} {reason}" for reason, number in reasons)
        message += f" (the first is {skipped[0].name!r})"
    raise UserError(message)


def _report(name: str, num_files: int, skipped: list[Skipped]) -> None:
    if not skipped:
        return
    listed = ", ".join(f"{file!r} ({reason})" for file, reason in skipped[:_MAX_LISTED])
    more = ", ..." if len(skipped) > _MAX_LISTED else ""
    _logger.warning(
        "%d of %d files of %s are skipped: %s%s",
        len(skipped),
        num_files,
        name,
        listed,
        more,
    )
