"""From a list of files of any kind to a source of images and labels.

Shared by folders and zip files. Only headers are read, so that 6,000 files take
about a second; damage further inside is met by `EncodedSource`. Of files of more than 8
bits all pixels are read, until it is clear how many bits are used.
"""

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import IO

import numpy as np

from stylegan_jax.data import labels as label_files
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.encoded import EncodedSource, Skipped
from stylegan_jax.errors import UserError
from stylegan_jax.io import depth, images, outputs
from stylegan_jax.io.decoding import Header
from stylegan_jax.io.listing import is_junk

MIN_IMAGES = 2  # with fewer, the path or the labels are surely wrong
_MAX_LISTED = 5
_TABLES = {"json": "dataset.json", "csv": "labels.csv"}
_CHUNK = 64  # files decoded before it is asked whether more are needed
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
    good, headers, skipped = examine(candidates, open_file)
    whites, broken = _find_whites(config, good, headers, read_file, name)
    skipped += broken
    bad = {file for file, _ in broken}
    kept = [i for i, file in enumerate(good) if file not in bad]
    good = [good[i] for i in kept]
    sizes = np.array([headers[i][:2] for i in kept], np.int64).reshape(-1, 2)
    _require(len(good), name, len(files), skipped)
    labels = _read_labels(config, good, tables, read_file, name)
    if labels is None:
        _hint(config, good, tables, read_file, name)
    else:
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
        whites=whites,
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


def examine(
    files: Sequence[str], open_file: OpenFile
) -> tuple[list[str], list[Header], list[Skipped]]:
    """Looks at the headers of many files at once.

    Returns:
        The names of the images, what their headers say, and the other files.
    """

    def look(file: str) -> Header | Skipped:
        if is_junk(file):
            return Skipped(file, "a hidden or system file")
        try:
            stream, check_end = open_file(file)
            with stream:
                kinds[file] = outputs.kind_of(stream)
                return images.read_header(stream, check_end=check_end)
        except (images.UnreadableImageError, OSError) as error:
            return Skipped(file, str(error))

    kinds: dict[str, str | None] = {}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, files))
    whole = [x for x, y in zip(files, found, strict=True) if not isinstance(y, Skipped)]
    ours = outputs.left_out({file: kinds[file] for file in whole})
    found = [
        Skipped(file, "written by a command of this package") if file in ours else size
        for file, size in zip(files, found, strict=True)
    ]
    skipped = [result for result in found if isinstance(result, Skipped)]
    headers = [result for result in found if not isinstance(result, Skipped)]
    bad = {result.name for result in skipped}
    good = [file for file in files if file not in bad]
    return good, headers, skipped


def _find_whites(
    config: DataConfig,
    files: Sequence[str],
    headers: Sequence[Header],
    read_file: ReadFile,
    name: str,
) -> tuple[depth.Whites, list[Skipped]]:
    """What is white in files of more than 8 bits, by kind, and files without it.

    Raises:
        UserError: floats are beyond 1, and `config.white` does not say what they mean.
    """
    skipped: list[Skipped] = []
    whites = dict(config.whites)
    deep = sorted({header.kind for header in headers} - {"8-bit", *whites})

    def look(file: str) -> float | Skipped:
        try:
            return depth.largest(images.read_levels(read_file(file))[0])
        except (ValueError, OSError) as error:
            return Skipped(file, str(error))

    for kind in deep:
        of_kind = [f for f, h in zip(files, headers, strict=True) if h.kind == kind]
        high, largest_file = 0.0, of_kind[0]
        with ThreadPoolExecutor(8) as pool:
            for start in range(0, len(of_kind), _CHUNK):
                chunk = of_kind[start : start + _CHUNK]
                for file, found in zip(chunk, pool.map(look, chunk), strict=True):
                    if isinstance(found, Skipped):
                        skipped.append(found)
                    elif found > high:
                        high, largest_file = found, file
                if kind == "16-bit" and depth.white_of(kind, high) == depth.FULL[kind]:
                    break  # more files cannot change it
        try:
            white = depth.white_of(kind, high)
        except ValueError as error:
            raise UserError(
                f"{largest_file!r} of {name} has {error}; save it with 8 or 16 bits, "
                f"or say what is white: `data.white` {high:g}"
            ) from error
        if white != depth.FULL[kind]:
            whites[kind] = white
            _logger.warning(
                "%d %s files of %s, %s; `data.white` %g says otherwise",
                len(of_kind),
                kind,
                name,
                depth.reading(kind, high, white),
                depth.FULL[kind],
            )
    return whites, skipped


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
    wanted = _TABLES.get(config.labels, config.labels)
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


def _hint(
    config: DataConfig,
    files: list[str],
    tables: set[str],
    read_file: ReadFile,
    name: str,
) -> None:
    """Says once that there are labels, where none are asked for."""
    for labels, table in _TABLES.items():
        asked = dataclasses.replace(config, labels=labels)
        try:
            found = _read_labels(asked, files, tables, read_file, name)
        except UserError:
            continue
        count = sum(label is not None for label in found or ())
        _logger.warning(
            "%s has labels of %d of %d images in %s, which are not used; "
            "`data.labels` %s uses them",
            name,
            count,
            len(files),
            table,
            labels,
        )
        return


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
