"""Folders and zip files of images as sources of images and labels.

Opening reads headers only, and pixels of files of more than 8 bits until their depth
is clear; `EncodedSource` handles later damage. Zip members are never extracted, so
their names cannot reach outside; encrypted members and zip bombs are skipped.
"""

import dataclasses
import io
import logging
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from stylegan_jax.data import labels as label_files
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import choose
from stylegan_jax.data.stored_images import EncodedSource
from stylegan_jax.errors import UserError
from stylegan_jax.io import archives, images, listing
from stylegan_jax.io.decoding import MAX_FILE_BYTES, UnreadableImageError

MIN_IMAGES = 2  # with fewer, the path or the labels are surely wrong
_MAX_LISTED = 5
# Enough for a header, without unpacking the whole member.
_HEAD_BYTES = 2**17
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Place:
    """A folder or zip file; its functions are called from several threads."""

    name: str
    files: list[str]  # relative, with forward slashes
    open: Callable[[str], tuple[IO[bytes], bool]]  # stream, and whether its end is near
    read: Callable[[str], bytes]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)  # with reasons


@dataclasses.dataclass(frozen=True)
class _Image:
    file: str
    height: int
    width: int
    kind: str  # of a sample, see `Header`
    written: str | None  # by a command of ours, see `listing.made_by_us`


def open_image_files(config: DataConfig) -> EncodedSource:
    """Opens the folder or zip file `config.path`.

    UserError for an unreadable path, too few images, no labels, or a forbidden crop.
    """
    path = Path(config.path or "").expanduser()
    place = _zip(path) if config.name == "zip" else _folder(path)
    tables = {file for file in place.files if label_files.is_table(file)}
    found = _examine(place, sorted(set(place.files) - tables))
    whites = _find_whites(config, place, found)
    found = _usable(place, found)
    table = None
    for wanted, name in label_files.TABLES.items():
        if config.labels == "none" and any(Path(x).name == name for x in tables):
            _logger.warning(
                f"{place.name} has labels in {name}, which are not used; "
                f"`data.labels` {wanted} uses them"
            )
    if config.labels != "none":
        files = [image.file for image in found]
        read = label_files.read
        labels = read(config.labels, files, tables, place.read, place.name)
        place.skipped.update(dict.fromkeys({*files} - labels.keys(), "no label"))
        found = _usable(place, found)
        table = label_files.make_table([labels[image.file] for image in found])
    odd = [image for image in found if image.height != image.width]
    if config.crop == "none" and odd:
        raise UserError(
            f"{len(odd)} of {len(found)} images of {place.name} are not square, for "
            f"example {odd[0].file!r} with {odd[0].width}x{odd[0].height}; use "
            "crop=center"
        )
    if place.skipped:
        listed = [f"{file!r} ({why})" for file, why in sorted(place.skipped.items())]
        more = ", ..." if len(listed) > _MAX_LISTED else ""
        _logger.warning(
            f"{len(listed)} of {len(place.files)} files of {place.name} are skipped: "
            f"{', '.join(listed[:_MAX_LISTED])}{more}"
        )
    chosen = choose(len(found), config)
    found = [found[i] for i in chosen]
    return EncodedSource(
        place.name,
        lambda index: place.read(found[index].file),
        np.array([min(image.height, image.width) for image in found]),
        config,
        labels=table and table.take(chosen),
        whites=whites,
        pad=bool(config.pad),
        skipped=place.skipped,
    )


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

    files = listing.list_files(root)
    return _Place(f"folder {str(root)!r}", files, open_file, read)


def _zip(path: Path) -> _Place:
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


def _examine(place: _Place, files: Sequence[str]) -> list[_Image]:
    """Images by their headers; skips other files, and what our commands wrote."""

    def look(file: str) -> _Image | None:
        if listing.is_junk(file):
            place.skipped[file] = "a hidden or system file"
            return None
        try:
            stream, check_end = place.open(file)
            with stream:
                written = listing.made_by_us(stream)
                header = images.read_header(stream, check_end=check_end)
        except (UnreadableImageError, OSError) as error:
            place.skipped[file] = str(error)
            return None
        return _Image(file, *header, written)

    with ThreadPoolExecutor(8) as pool:
        found = [image for image in pool.map(look, files) if image]
    ours = listing.left_out({image.file: image.written for image in found})
    place.skipped.update(dict.fromkeys(ours, "written by a command of this package"))
    return [image for image in found if image.file not in ours]


def _find_whites(
    config: DataConfig, place: _Place, found: Sequence[_Image]
) -> images.Whites:
    """White levels by kind of deep sample; skips unreadable files."""
    whites = dict(config.whites)

    def look(file: str) -> float | str:
        try:
            return images.largest(images.read_levels(place.read(file))[0])
        except (ValueError, OSError) as error:
            return str(error)

    for kind in sorted({image.kind for image in found} - {"8-bit", *whites}):
        of_kind = [image.file for image in found if image.kind == kind]
        high, largest_file, full = 0.0, of_kind[0], images.FULL[kind]
        with ThreadPoolExecutor(8) as pool:
            for file, level in zip(of_kind, pool.map(look, of_kind), strict=True):
                if isinstance(level, str):  # not by `look`: the order decides which
                    place.skipped[file] = level
                elif level > high:
                    high, largest_file = level, file
                if kind == "16-bit" and images.white_of(kind, high) == full:
                    break  # more files cannot change it
        try:
            white = images.white_of(kind, high)
        except UserError as error:
            raise UserError(
                f"{largest_file!r} of {place.name} has {error}; save it with 8 or 16 "
                f"bits, or say what is white: `data.white` {high:g}"
            ) from error
        if white != full:
            whites[kind] = white
            _logger.warning(
                f"{len(of_kind)} {kind} files of {place.name}, "
                f"{images.reading(kind, high, white)}; `data.white` "
                f"{full:g} says otherwise"
            )
    return whites


def _usable(place: _Place, found: Sequence[_Image]) -> list[_Image]:
    """Images that are not skipped; UserError if there are too few."""
    usable = [image for image in found if image.file not in place.skipped]
    if len(usable) < MIN_IMAGES:
        reasons = Counter(place.skipped.values()).most_common(_MAX_LISTED)
        listed = ", ".join(f"{number} {reason}" for reason, number in reasons)
        if place.skipped:
            listed = f": {listed} (such as {min(place.skipped)!r})"
        raise UserError(
            f"{place.name} has {len(usable)} usable images, at least {MIN_IMAGES} are "
            f"needed; {len(place.files)} files were seen, {len(place.skipped)} of them "
            f"skipped{listed}"
        )
    return usable
