"""A run directory in object storage, worked on in a local copy.

Objects cannot be renamed or appended to, and a bucket may be out of reach for a while.
So a run lies in a local folder, and a thread copies what is new to the bucket: first
the files of a checkpoint, last its `checksums.json`. One without it was cut off by a
kill, unless an older version wrote it: who restores it finds out.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from stylegan_jax.errors import UserError
from stylegan_jax.io import cache, records
from stylegan_jax.io.bucket import Bucket, as_url, in_a_line, is_remote

_log = logging.getLogger(__name__)

EVERY_SECONDS = 15.0  # between two looks at the local folder
_TRIES, _PAUSE_SECONDS = 4, 5.0  # of the last copy
_CHECKPOINTS = "checkpoints"
_SEAL = "checksums.json"
_UNREAD = ("samples", "tensorboard")  # nothing continues from these


@contextlib.contextmanager
def mirrored(path: str, *, active: bool = True) -> Iterator[Path]:
    """The local folder to work in: `path` itself, or a copy of what a URL names.

    With a URL, the folder is filled from there at the start. What changes is copied
    back in the meantime and at the end. Checkpoints that are removed are removed there.
    All processes but one are not `active`: they copy nothing.

    Raises:
        UserError: the library for the URL is not installed, the storage cannot be
            read or written, another process works on the same copy, or at the end
            not everything could be copied.
    """
    if not is_remote(path):
        yield Path(path)
        return
    url = as_url(path)
    folder = local_folder(url)
    if not active:
        yield folder
        return
    with cache.exclusive(folder, on_wait=lambda: _refuse(url)):
        mirror = Mirror(Bucket(url), folder)
        mirror.pull()
        ended = threading.Event()
        thread = threading.Thread(target=mirror.repeat, args=(ended,), name="mirror")
        thread.start()
        error = None
        try:
            yield folder
        except BaseException as raised:
            error = raised
            raise
        finally:
            ended.set()
            thread.join()
            mirror.finish(error)


def local_folder(url: str) -> Path:
    """Where the copy of a URL lies: `cache.folder("runs")`, then a name of its own."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-60:]
    return cache.folder("runs") / f"{words}-{digest}"


class Mirror:
    """A local folder and the place in a bucket that is to hold the same."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        """Copies nothing yet."""
        self._bucket, self._folder = bucket, folder
        self._sent: dict[str, tuple[int, int]] = {}  # name -> time and size

    def pull(self) -> None:
        """Fills the folder from the bucket, whose content counts.

        A folder that is ahead of the bucket is set aside, with a warning.

        Raises:
            UserError: the bucket cannot be read or written.
        """
        self._bucket.check()  # before anything is trained
        folder = self._folder
        try:
            there = self._bucket.names()
            ours, theirs = _newest(self._files()), _newest(there)
            if ours > theirs:
                aside = folder.with_name(f"{folder.name}_unsent")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                _log.warning(
                    "%s has not got %s, which an earlier start left here: it is now in "
                    "%s",
                    *(self._bucket.url, ours, aside),
                )
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            wanted = [n for n in there if PurePosixPath(n).parts[0] not in _UNREAD]
            self._bucket.get({name: folder / name for name in wanted})
        except Exception as error:
            raise UserError(
                f"{self._bucket.url} cannot be read ({in_a_line(error)})"
            ) from error
        self._sent = self._files()

    def push(self) -> None:
        """Copies what is new or changed since, and removes old checkpoints."""
        local = self._files()
        sealed = {_folder(name) for name in local if _rank(name) == 2}
        local = {
            name: stamp
            for name, stamp in local.items()
            # Being written, if it is no old one that came from there.
            if _rank(name) != 1 or _folder(name) in sealed or name in self._sent
        }
        changed = [n for n, stamp in local.items() if self._sent.get(n) != stamp]
        for rank in range(4):
            names = [name for name in changed if _rank(name) == rank]
            for name in self._bucket.put(names, self._folder):
                self._sent[name] = local[name]
        gone = [name for name in self._sent if name not in local]
        # Seals first, so that what is left of a checkpoint counts for nothing.
        for rank in (2, 1, 3):
            self._bucket.remove(name for name in gone if _rank(name) == rank)
        for name in gone:
            del self._sent[name]

    def repeat(self, ended: threading.Event) -> None:
        """Pushes now and then until something has ended; warns once when it fails."""
        failing = False
        while not ended.wait(EVERY_SECONDS):
            try:
                self.push()
                failing = False
            except Exception as error:
                if not failing:
                    _log.warning(
                        "%s cannot be written (%s); training goes on in %s, and is "
                        "copied when it can be again",
                        *(self._bucket.url, in_a_line(error), self._folder),
                    )
                failing = True

    def finish(self, error: BaseException | None) -> None:
        """Pushes the rest: with several tries, or with one after an error.

        Raises:
            UserError: in vain, where there was no error before.
        """
        reason = ""
        for attempt in range(1 if error else _TRIES):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            try:
                self.push()
                return
            except Exception as failure:
                reason = in_a_line(failure)
        if error:
            _log.warning("%s was not brought up to date: %s", self._bucket.url, reason)
            return
        raise UserError(
            f"{self._bucket.url} could not be brought up to date ({reason}); the run "
            f"is whole in {self._folder}: copy it there before you start it again"
        )

    def _files(self) -> dict[str, tuple[int, int]]:
        """Time and size of the files of the folder that are no temporary ones."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder)
            hidden = any(x.startswith(".") or "-tmp" in x for x in name.parts)
            with contextlib.suppress(FileNotFoundError):  # a checkpoint just removed
                if not hidden and path.is_file():
                    stat = path.stat()
                    found[name.as_posix()] = stat.st_mtime_ns, stat.st_size
        return found


@functools.cache  # one command sees one state
def fetched(url: str) -> Path:
    """A local copy of what a URL names, for reading.

    Args:
        url: of a file; of a run, which comes with its newest checkpoint; or of one
            checkpoint, `RUN/checkpoints/NAME` or `.../best`.

    Returns:
        The file, the run directory, or the checkpoint in one.

    Raises:
        UserError: there is nothing of the kind, or it cannot be read.
    """
    run, separator, checkpoint = url.partition(f"/{_CHECKPOINTS}/")
    folder = local_folder(run).with_name(f"{local_folder(run).name}_read")
    with cache.exclusive(folder, on_wait=lambda: None):
        try:
            whole = Bucket(url)
            if not separator and whole.is_object():
                path = folder / PurePosixPath(url).name
                whole.get({"": path})
                return path
            bucket = Bucket(run)
            names = bucket.names()
            if checkpoint == "best" and f"{_CHECKPOINTS}/best.json" in names:
                best = records.parse(bucket.read(f"{_CHECKPOINTS}/best.json"))
                records.check(best, {"checkpoint": str})
                checkpoint = best["checkpoint"]
            checkpoint = checkpoint or _newest(names) or _newest(names, sealed=False)
            parts = [n for n in names if n.startswith(f"{_CHECKPOINTS}/{checkpoint}/")]
            if not parts or "config.json" not in names:
                raise UserError(f"{url} is neither a file nor a run with a checkpoint")
            bucket.get({"config.json": folder / "config.json"})
            seals = [name for name in parts if _rank(name) == 2]
            # A seal that is here has a checksum of every file.
            here = [folder / x for x in seals if (folder / x).exists()]
            if not here or here[0].read_bytes() != bucket.read(seals[0]):
                for some in (set(parts) - set(seals), seals):
                    bucket.get({name: folder / name for name in some})
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{url} cannot be read ({in_a_line(error)})") from error
    return folder / _CHECKPOINTS / checkpoint if separator else folder


def _newest(names: Iterable[str], *, sealed: bool = True) -> str:
    """The name of the newest checkpoint; names of one length sort by age."""
    ranks = (2,) if sealed else (1, 2)
    found = [_folder(name) for name in names if _rank(name) in ranks]
    return max((name for name in found if name.startswith("nimg_")), default="")


def _folder(name: str) -> str:
    """The checkpoint that a file of one belongs to."""
    return PurePosixPath(name).parts[1]


def _rank(name: str) -> int:
    """In which order files are copied: what refers to others comes after them.

    0: not of checkpoints; 1: in a checkpoint; 2: its seal; 3: beside checkpoints.
    """
    parts = PurePosixPath(name).parts
    if parts[0] != _CHECKPOINTS:
        return 0
    if len(parts) == 3 and parts[2] == _SEAL:
        return 2
    return 3 if len(parts) == 2 else 1


def _refuse(url: str) -> None:
    raise UserError(f"another process on this machine works on {url}")
