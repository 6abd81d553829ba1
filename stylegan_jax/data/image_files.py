"""Folders and zip files of images as sources of images and labels.

Opening reads headers only, and pixels of files of more than 8 bits until their depth
is clear; `EncodedSource` handles later damage. Zip members are never extracted, so
their names cannot reach outside; encrypted members and zip bombs are skipped.
"""

import io
import logging
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from stylegan_jax.data import labels as label_files
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.stored_images import EncodedSource, Skipped
from stylegan_jax.errors import UserError
from stylegan_jax.io import archives, depth, images, listing
from stylegan_jax.io.decoding import MAX_FILE_BYTES, UnreadableImageError
from stylegan_jax.io.listing import is_junk, list_files

MIN_IMAGES = 2  # with fewer, the path or the labels are surely wrong
_MAX_LISTED = 5
_CHUNK = 64  # files decoded before it is asked whether more are needed
# Enough for a header, without unpacking the whole member.
_HEAD_BYTES = 2**17
_logger = logging.getLogger(__name__)


class _Place(NamedTuple):
    name: str
    files: list[str]  # relative, with forward slashes
    open: Callable[[str], tuple[IO[bytes], bool]]  # stream, and whether its end is near
    read: Callable[[str], bytes]  # called from several threads


class _Image(NamedTuple):
    file: str
    side: int  # the shorter one
    is_square: bool
    shape: str  # width and height for messages
    kind: str  # of a sample, see `Header`
    label: label_files.Label | None = None


def open_image_files(config: DataConfig) -> EncodedSource:
    """Opens the folder or zip file `config.path`.

    Raises:
        UserError: unreadable path, too few images, missing labels, or a forbidden crop.
    """
    path = Path(config.path or "").expanduser()
    place = _zip(path) if config.name == "zip" else _folder(path)
    files = sorted(place.files)
    tables = {file for file in files if label_files.is_table(file)}
    found, skipped = _examine(place, [file for file in files if file not in tables])
    whites, broken = _find_whites(config, place, found)
    skipped += broken
    bad = {file for file, _ in broken}
    found = [image for image in found if image.file not in bad]
    _require(len(found), place, skipped)
    found, unlabelled = _labelled(config, place, tables, found)
    skipped += [Skipped(file, "no label") for file in unlabelled]
    _require(len(found), place, skipped)
    odd = [image for image in found if not image.is_square]
    if config.crop == "none" and odd:
        raise UserError(
            f"{len(odd)} of {len(found)} images of {place.name} are not square, for "
            f"example {odd[0].file!r} with {odd[0].shape}; use crop=center"
        )
    chosen = choose(len(found), config)
    table = None
    if config.labels != "none":
        table = label_files.make_table([x.label for x in found if x.label is not None])
        table = table.take(chosen)
    _report(place, skipped)
    found = [found[i] for i in chosen]
    return EncodedSource(
        lambda index: place.read(found[index].file),
        len(found),
        name=place.name,
        num_channels=config.num_channels,
        labels=table,
        sides=np.array([image.side for image in found]),
        whites=whites,
        skipped=sorted(skipped),
        allow_crop=config.crop == "center",
        pad=bool(config.pad),
    )


def choose(count: int, config: DataConfig) -> np.ndarray:
    """Indices of all images, or of random `config.max_images`: files may be sorted."""
    if config.max_images is None or config.max_images >= count:
        return np.arange(count)
    order = np.random.default_rng(config.seed).permutation(count)
    return np.sort(order[: config.max_images])


def _folder(root: Path) -> _Place:
    if not root.is_dir():
        hint = "; for a zip file use name=zip" if root.is_file() else ""
        raise UserError(f"there is no folder {str(root)!r}{hint}")

    def open_file(file: str) -> tuple[IO[bytes], bool]:
        path = root / file
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
            raise UnreadableImageError("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableImageError(f"{status.st_size} bytes are too many")
        return path.open("rb"), True

    def read(file: str) -> bytes:
        with open_file(file)[0] as stream:
            return stream.read()

    return _Place(f"folder {str(root)!r}", list_files(root), open_file, read)


def _zip(path: Path) -> _Place:
    if path.is_dir():
        raise UserError(f"{str(path)!r} is a folder; use name=folder")
    if not path.exists():
        raise UserError(f"there is no zip file {str(path)!r}")
    try:
        archive = archives.open_zip(path)  # stays open as long as the source lives
    except archives.UNREADABLE as error:
        raise UserError(
            f"{str(path)!r} is not a whole zip file ({error}); copy or make it again"
        ) from error
    members = {
        info.filename: info
        for info in archive.infolist()
        if info.filename and not info.is_dir()
    }

    def open_file(file: str) -> tuple[IO[bytes], bool]:
        if members[file].file_size > _HEAD_BYTES:
            # No stream of the member: every backward seek unpacks it anew, and a
            # hostile header may ask for thousands of seeks.
            head = read(file, _HEAD_BYTES)
            try:
                images.read_header(io.BytesIO(head), check_end=False)
                return io.BytesIO(head), False
            except UnreadableImageError:
                pass  # perhaps all of it is needed
        return io.BytesIO(read(file)), True

    def read(file: str, count: int = -1) -> bytes:
        try:
            archives.check_member(members[file], max_bytes=MAX_FILE_BYTES)
            with archive.open(members[file]) as stream:
                return stream.read(count)
        except archives.SuspiciousArchiveError as error:
            raise UnreadableImageError(str(error)) from error
        except archives.UNREADABLE as error:
            raise UnreadableImageError(f"damaged in the zip: {error}") from error

    return _Place(f"zip {str(path)!r}", list(members), open_file, read)


def _examine(place: _Place, files: Sequence[str]) -> tuple[list[_Image], list[Skipped]]:
    """Images found by their headers, and the files that are none."""
    kinds: dict[str, str | None] = {}  # of the pictures that our commands write

    def look(file: str) -> _Image | Skipped:
        if is_junk(file):
            return Skipped(file, "a hidden or system file")
        try:
            stream, check_end = place.open(file)
            with stream:
                written = listing.made_by_us(stream)
                header = images.read_header(stream, check_end=check_end)
        except (UnreadableImageError, OSError) as error:
            return Skipped(file, str(error))
        kinds[file] = written
        height, width, kind = header
        shape = f"{width}x{height}"
        return _Image(file, min(height, width), height == width, shape, kind)

    with ThreadPoolExecutor(8) as pool:
        looked = list(pool.map(look, files))
    ours = listing.left_out({file: kinds[file] for file in files if file in kinds})
    skipped = [
        Skipped(x.file, "written by a command of this package")
        if isinstance(x, _Image)
        else x
        for x in looked
        if isinstance(x, Skipped) or x.file in ours
    ]
    found = [x for x in looked if isinstance(x, _Image) and x.file not in ours]
    return found, skipped


def _find_whites(
    config: DataConfig, place: _Place, found: Sequence[_Image]
) -> tuple[depth.Whites, list[Skipped]]:
    """White levels by kind of deep sample, and the unreadable files."""
    skipped: list[Skipped] = []
    whites = dict(config.whites)

    def look(file: str) -> float | Skipped:
        try:
            return depth.largest(images.read_levels(place.read(file))[0])
        except (ValueError, OSError) as error:
            return Skipped(file, str(error))

    for kind in sorted({image.kind for image in found} - {"8-bit", *whites}):
        of_kind = [image.file for image in found if image.kind == kind]
        high, largest_file = 0.0, of_kind[0]
        with ThreadPoolExecutor(8) as pool:
            for start in range(0, len(of_kind), _CHUNK):
                chunk = of_kind[start : start + _CHUNK]
                for file, level in zip(chunk, pool.map(look, chunk), strict=True):
                    if isinstance(level, Skipped):
                        skipped.append(level)
                    elif level > high:
                        high, largest_file = level, file
                if kind == "16-bit" and depth.white_of(kind, high) == depth.FULL[kind]:
                    break  # more files cannot change it
        try:
            white = depth.white_of(kind, high)
        except ValueError as error:
            raise UserError(
                f"{largest_file!r} of {place.name} has {error}; save it with 8 or 16 "
                f"bits, or say what is white: `data.white` {high:g}"
            ) from error
        if white != depth.FULL[kind]:
            whites[kind] = white
            _logger.warning(
                "%d %s files of %s, %s; `data.white` %g says otherwise",
                len(of_kind),
                kind,
                place.name,
                depth.reading(kind, high, white),
                depth.FULL[kind],
            )
    return whites, skipped


def _labelled(
    config: DataConfig, place: _Place, tables: Iterable[str], found: list[_Image]
) -> tuple[list[_Image], list[str]]:
    """Images with a label, and the files that lack one."""
    files = [image.file for image in found]

    def read(wanted: str) -> list[label_files.Label | None]:
        return label_files.read(wanted, files, tables, place.read, place.name)

    if config.labels != "none":
        labelled = [
            image._replace(label=label)
            for image, label in zip(found, read(config.labels), strict=True)
        ]
        kept = [image for image in labelled if image.label is not None]
        return kept, [image.file for image in labelled if image.label is None]
    for wanted, table in label_files.TABLES.items():  # say once that there are labels
        try:
            count = sum(label is not None for label in read(wanted))
        except UserError:
            continue
        _logger.warning(
            "%s has labels of %d of %d images in %s, which are not used; "
            "`data.labels` %s uses them",
            place.name,
            count,
            len(files),
            table,
            wanted,
        )
        break
    return found, []


def _require(count: int, place: _Place, skipped: list[Skipped]) -> None:
    if count >= MIN_IMAGES:
        return
    message = f"{place.name} has {count} usable images, at least {MIN_IMAGES} are "
    message += f"needed; {len(place.files)} files were seen, {len(skipped)} of them "
    message += "skipped"
    reasons = Counter(skip.reason for skip in skipped).most_common(_MAX_LISTED)
    if reasons:
        message += ": " + ", ".join(f"{number} {reason}" for reason, number in reasons)
        message += f" (the first is {skipped[0].name!r})"
    raise UserError(message)


def _report(place: _Place, skipped: list[Skipped]) -> None:
    if not skipped:
        return
    listed = ", ".join(f"{file!r} ({reason})" for file, reason in skipped[:_MAX_LISTED])
    more = ", ..." if len(skipped) > _MAX_LISTED else ""
    _logger.warning(
        "%d of %d files of %s are skipped: %s%s",
        len(skipped),
        len(place.files),
        place.name,
        listed,
        more,
    )
