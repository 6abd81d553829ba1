"""Runs in object storage, `gs://BUCKET/NAME` or `s3://BUCKET/NAME`, and local copies.

Objects cannot be renamed or appended to, and a bucket may be unreachable for a while: a
thread uploads changes, the files of a checkpoint first, its `checksums.json` last. A
checkpoint without one was cut off, or written by an older version.
"""

from __future__ import annotations

import concurrent.futures
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
from typing import Any

from stylegan_jax.errors import UserError, in_a_line
from stylegan_jax.io import cache, locks, records

_log = logging.getLogger(__name__)

EVERY_SECONDS = 15.0  # between uploads
_TRIES, _PAUSE_SECONDS = 4, 5.0  # of the last copy
_CHECKPOINTS = "checkpoints"
_SEAL = "checksums.json"
_UNREAD = ("samples", "tensorboard")  # nothing continues from these
_AT_ONCE = 8  # objects
_EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}
# `Path` collapses repeated slashes to one.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.ASCII)


def is_remote(path: str | Path) -> bool:
    """Whether this is a URL, also after conversion to a `Path`."""
    return _SCHEME.match(str(path)) is not None


def as_url(path: str | Path) -> str:
    """The URL, with the slashes that a `Path` drops, and none at the end."""
    match = _SCHEME.match(str(path))
    assert match is not None
    slashes = ":///" if match[1] == "file" else "://"
    return match[1] + slashes + str(path)[match.end() :].rstrip("/")


@contextlib.contextmanager
def mirrored(path: str, *, active: bool = True) -> Iterator[Path]:
    """The local folder to work in: `path` itself, or a copy of a URL's content.

    Downloaded at the start, uploaded meanwhile and at the end, removals of checkpoints
    included. Only the `active` process copies. UserError without a library for the URL,
    for storage that cannot be read or written, or another process on the same copy.
    """
    if not is_remote(path):
        yield Path(path)
        return
    url = as_url(path)
    folder = _local_folder(url)
    if not active:
        yield folder
        return
    with locks.held(folder.with_name(f"{folder.name}.lock"), url):
        mirror = _Mirror(_Bucket(url), folder)
        mirror.pull()
        ended = threading.Event()
        thread = threading.Thread(target=mirror.repeat, args=(ended,), name="mirror")
        thread.start()
        tries = 1  # after an error
        try:
            yield folder
            tries = _TRIES
        finally:
            ended.set()
            thread.join()
            mirror.finish(tries)


def _local_folder(url: str, ending: str = "") -> Path:
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-60:]
    return cache.folder("runs") / f"{words}-{digest}{ending}"


class _Mirror:
    """A local folder and its copy in a bucket."""

    def __init__(self, bucket: _Bucket, folder: Path) -> None:
        self._bucket, self._folder = bucket, folder
        self._sent: dict[str, tuple[int, int]] = {}  # name -> time and size

    def pull(self) -> None:
        """Replaces the folder by the bucket's content; UserError if that fails.

        A folder with a newer checkpoint is set aside, with a warning.
        """
        self._bucket.check()  # before anything is trained
        folder = self._folder
        try:
            there = self._bucket.names()
            ours = _newest(self._files())
            if ours > _newest(there):
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
        """Uploads new and changed files, and removes old checkpoints."""
        local = self._files()
        sealed = {_folder(name) for name in local if _rank(name) == 2}
        # Unsealed and not downloaded: still being written.
        local = {
            name: stamp
            for name, stamp in local.items()
            if _rank(name) != 1 or _folder(name) in sealed or name in self._sent
        }
        changed = [n for n, stamp in local.items() if self._sent.get(n) != stamp]
        for rank in range(4):
            names = [name for name in changed if _rank(name) == rank]
            for name in self._bucket.put(names, self._folder):
                self._sent[name] = local[name]
        # Seals first: a partly removed checkpoint is not complete.
        gone = [name for name in self._sent if _rank(name) and name not in local]
        self._bucket.remove(sorted(gone, key=lambda name: _rank(name) != 2))
        self._sent = {n: stamp for n, stamp in self._sent.items() if n in local}

    def repeat(self, ended: threading.Event) -> None:
        """Pushes periodically until `ended`; warns once when it fails."""
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

    def finish(self, tries: int) -> None:
        """Pushes the rest; UserError if no try succeeds, after one only a warning."""
        reason = ""
        for attempt in range(tries):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            try:
                return self.push()
            except Exception as failure:
                reason = in_a_line(failure)
        message = (
            f"{self._bucket.url} could not be brought up to date ({reason}); the run "
            f"is whole in {self._folder}: copy it there before you start it again"
        )
        if tries > 1:
            raise UserError(message)
        _log.warning("%s", message)

    def _files(self) -> dict[str, tuple[int, int]]:
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
    """A local copy, for reading, of a file, run or checkpoint; UserError if none.

    A run comes with its newest checkpoint; a checkpoint, `RUN/checkpoints/NAME` or
    `.../best`, in its run directory.
    """
    run, separator, checkpoint = url.partition(f"/{_CHECKPOINTS}/")
    folder = _local_folder(run, "_read")
    with cache.exclusive(folder):
        try:
            whole = _Bucket(url)
            if not separator and whole.is_object():
                path = folder / PurePosixPath(url).name
                whole.get({"": path})
                return path
            bucket = _Bucket(run)
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
            seal = f"{_CHECKPOINTS}/{checkpoint}/{_SEAL}"
            here = seal in parts and (folder / seal).exists()
            # A seal, which is fetched last, has the checksum of every file.
            if not here or (folder / seal).read_bytes() != bucket.read(seal):
                bucket.get({name: folder / name for name in parts if name != seal})
                bucket.get({name: folder / name for name in parts if name == seal})
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{url} cannot be read ({in_a_line(error)})") from error
    return folder / _CHECKPOINTS / checkpoint if separator else folder


def _newest(names: Iterable[str], *, sealed: bool = True) -> str:
    """The newest checkpoint; names of one length sort by age."""
    ranks = (2,) if sealed else (1, 2)
    found = [_folder(name) for name in names if _rank(name) in ranks]
    return max((name for name in found if name.startswith("nimg_")), default="")


def _folder(name: str) -> str:
    return PurePosixPath(name).parts[1]


def _rank(name: str) -> int:
    """Upload order: 0 no checkpoint, 1 in one, 2 its seal, 3 beside checkpoints."""
    parts = PurePosixPath(name).parts
    if parts[0] != _CHECKPOINTS:
        return 0
    if len(parts) == 3 and parts[2] == _SEAL:
        return 2
    return 3 if len(parts) == 2 else 1


class _Bucket:
    """Objects with a common prefix, as files named by the rest."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        scheme = url.split(":", 1)[0]
        if scheme in ("http", "https"):
            raise UserError(
                f"{url} is no bucket; fetch it, and give the file or folder"
            )
        try:
            options = {"auto_mkdir": True} if scheme == "file" else {}
            files, root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            way = f"pip install 'stylegan_jax[{extra}]'" if extra else str(error)
            raise UserError(f"{url} needs another library: {way}") from error
        except Exception as error:  # no such scheme; something about credentials
            raise UserError(f"{url} cannot be used ({in_a_line(error)})") from error
        self._files: Any = files
        self._root = root.rstrip("/")

    def check(self) -> None:
        try:
            self._files.pipe_file(f"{self._root}/.writable", b"")
            self._files.rm_file(f"{self._root}/.writable")
        except Exception as error:
            raise UserError(
                f"{self.url} cannot be used ({in_a_line(error)}); is the bucket's "
                "name right, and are there credentials that may read and write it?"
            ) from error

    def is_object(self) -> bool:
        return self._files.isfile(self._root)

    def names(self) -> list[str]:
        """The names of all objects; UserError if one would leave the folder."""
        self._files.invalidate_cache()
        try:
            found = self._files.find(self._root)
        except FileNotFoundError:
            return []
        names = [str(path)[len(self._root) + 1 :] for path in found]
        for name in names:
            # An object may be called `../x`.
            if not name or PurePosixPath(name).is_absolute() or ".." in name.split("/"):
                raise UserError(f"it holds an object called {name!a}")
        return names

    def read(self, name: str) -> bytes:
        return self._files.cat_file(f"{self._root}/{name}")

    def get(self, files: dict[str, Path]) -> None:
        """Downloads objects to files by name; "" is the object of the URL itself."""
        objects = [f"{self._root}/{name}".rstrip("/") for name in files]
        self._files.get(objects, [str(path) for path in files.values()])

    def put(self, names: Iterable[str], folder: Path) -> list[str]:
        """Uploads files; returns the names of those that still exist."""

        def one(name: str) -> None:
            try:
                self._files.put_file(str(folder / name), f"{self._root}/{name}")
            except FileNotFoundError:
                if (folder / name).exists():
                    raise

        names = list(names)
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, names))
        return [name for name in names if (folder / name).exists()]

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects; missing ones are ignored."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}")
