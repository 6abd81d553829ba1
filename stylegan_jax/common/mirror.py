"""A run directory in object storage (`gs://`, `s3://`), worked on in a local copy.

Objects cannot be renamed or appended to, and a bucket may be out of reach for a while.
So a run lies in a local folder, and a thread copies what is new to the bucket: first
the files of a checkpoint, last its `checksums.json`, without which it does not count.
What speaks to the storage is fsspec, by way of gcsfs, s3fs and others.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from stylegan_jax.common import cache
from stylegan_jax.common.errors import UserError

_log = logging.getLogger(__name__)

EVERY_SECONDS = 15.0  # between two looks at the local folder
_TRIES, _PAUSE_SECONDS = 4, 5.0  # of the last copy
_AT_ONCE = 8  # files
_CHECKPOINTS = "checkpoints"
_SEAL = "checksums.json"
_UNREAD = ("samples", "tensorboard")  # nothing continues from these
_EXTRAS = {"gs": "gcs", "gcs": "gcs", "s3": "s3", "s3a": "s3"}
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.ASCII)  # `Path` makes one of two slashes


def is_remote(path: str | Path) -> bool:
    """Whether this is a URL, such as `gs://BUCKET/RUN`, also when made a `Path`."""
    return _URL.match(str(path)) is not None


@contextlib.contextmanager
def mirrored(path: str, *, active: bool = True) -> Iterator[Path]:
    """The local folder to work in: `path` itself, or a copy of what a URL names.

    With a URL, the folder is filled from there at the start. What changes is copied
    back in the meantime and at the end. Checkpoints that are removed are removed there.

    Args:
        path: a folder, or a URL.
        active: nothing is copied if not; for all processes but one.

    Raises:
        UserError: the library for the URL is not installed, the storage cannot be
            read or written, another process works on the same copy, or at the end
            not everything could be copied.
    """
    if not is_remote(path):
        yield Path(path)
        return
    folder = local_folder(path)
    if not active:
        yield folder
        return
    with cache.exclusive(folder, on_wait=lambda: _refuse(path)):
        mirror = Mirror(path, folder)
        mirror.pull()
        mirror.start()
        try:
            yield folder
        except BaseException:
            mirror.stop()
            try:
                mirror.push()
            except Exception as error:
                _log.warning("%s was not brought up to date: %s", path, _line(error))
            raise
        mirror.stop()
        mirror.finish()


def local_folder(url: str) -> Path:
    """Where the copy of a URL lies: `cache_folder("runs")`, then a name of its own."""
    digest = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-60:]
    return cache.cache_folder("runs") / f"{words}-{digest}"


class Mirror:
    """A local folder and the place in a bucket that is to hold the same."""

    def __init__(self, url: str, folder: Path) -> None:
        """Copies nothing yet.

        Raises:
            UserError: the library for the URL is not installed, or its use fails.
        """
        self._url, self._folder = url, folder
        self._files, self._root = _open(url)
        self._sent: dict[str, tuple[int, int]] = {}  # name -> time and size
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="mirror", daemon=True)

    def pull(self) -> None:
        """Fills the folder from the bucket, whose content counts.

        Raises:
            UserError: the bucket cannot be read or written.
        """
        try:
            # Whether it can be written, before anything is trained.
            self._files.pipe_file(f"{self._root}/.writable", b"")
            self._files.rm_file(f"{self._root}/.writable")
            there = self._list()
        except Exception as error:
            raise UserError(
                f"{self._url} cannot be used ({_line(error)}); is the bucket's name "
                "right, and are there credentials that may read and write it?"
            ) from error
        self._make_room(there)
        complete, partial = _whole(there)
        wanted = [n for n in complete if PurePosixPath(n).parts[0] not in _UNREAD]
        try:
            self._each(self._get, wanted)
            self._each(self._remove, partial)
        except Exception as error:
            raise UserError(f"{self._url} cannot be read ({_line(error)})") from error
        local = self._scan()
        self._sent = {name: local[name] for name in wanted if name in local}

    def push(self) -> None:
        """Copies what is new or changed since, and removes old checkpoints."""
        local = self._scan()
        changed = [n for n, stamp in local.items() if self._sent.get(n) != stamp]
        for rank in range(4):
            names = [name for name in changed if _rank(name) == rank]
            for name in self._each(self._put, names):
                self._sent[name] = local[name]
        gone = [name for name in self._sent if name not in local]
        # Seals first, so that what is left of a checkpoint counts for nothing.
        for rank in (2, 1, 3):
            self._each(self._remove, [name for name in gone if _rank(name) == rank])
        for name in gone:
            del self._sent[name]

    def start(self) -> None:
        """Looks for news now and then, in a thread; warns once when that fails."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()

    def finish(self) -> None:
        """Copies the rest, with several tries.

        Raises:
            UserError: in vain.
        """
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            try:
                self.push()
                return
            except Exception as error:
                reason = _line(error)
        raise UserError(
            f"{self._url} could not be brought up to date ({reason}); the run is whole "
            f"in {self._folder}: copy it there before you start it again"
        )

    def _repeat(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            try:
                self.push()
                self._failing = False
            except Exception as error:
                if not self._failing:
                    _log.warning(
                        "%s cannot be written (%s); training goes on in %s, and is "
                        "copied when it can be again",
                        *(self._url, _line(error), self._folder),
                    )
                self._failing = True

    def _make_room(self, there: Iterable[str]) -> None:
        """Empties the folder; sets it aside if it is ahead of the bucket."""
        ours, theirs = _newest(self._scan()), _newest(_whole(there)[0])
        if ours > theirs:
            aside = self._folder.with_name(f"{self._folder.name}_unsent")
            shutil.rmtree(aside, ignore_errors=True)
            self._folder.rename(aside)
            _log.warning(
                "%s has not got %s, which an earlier start left here: it is now in %s",
                *(self._url, ours, aside),
            )
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)

    def _scan(self) -> dict[str, tuple[int, int]]:
        """Time and size of the finished files of the folder, by name."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder)
            hidden = any(x.startswith(".") or "-tmp" in x for x in name.parts)
            with contextlib.suppress(FileNotFoundError):  # a checkpoint just removed
                if not hidden and path.is_file():
                    stat = path.stat()
                    found[name.as_posix()] = stat.st_mtime_ns, stat.st_size
        whole = set(_whole(found)[0])
        return {name: stamp for name, stamp in found.items() if name in whole}

    def _list(self) -> list[str]:
        """Names in the bucket."""
        self._files.invalidate_cache()
        try:
            found = self._files.find(self._root)
        except FileNotFoundError:
            return []
        names = [str(path)[len(self._root) + 1 :] for path in found]
        for name in names:
            # An object may be called `../x`.
            if not name or PurePosixPath(name).is_absolute() or ".." in name.split("/"):
                raise ValueError(f"it holds an object called {name!a}")
        return names

    def _each(self, do: Any, names: Iterable[str]) -> list[str]:
        """Does something for some names at once; those for which it was done."""
        names = list(names)
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            return [
                n for n, done in zip(names, pool.map(do, names), strict=True) if done
            ]

    def _get(self, name: str) -> bool:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._files.get_file(f"{self._root}/{name}", str(path))
        return True

    def _put(self, name: str) -> bool:
        path = self._folder / name
        try:
            self._files.put_file(str(path), f"{self._root}/{name}")
        except FileNotFoundError:
            if path.exists():
                raise
            return False  # a checkpoint that has just been removed
        return True

    def _remove(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")
        return True


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what it calls the place."""
    import fsspec

    scheme = url.split(":", 1)[0]
    try:
        options = {"auto_mkdir": True} if scheme == "file" else {}
        files, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        way = f"pip install 'stylegan_jax[{extra}]'" if extra else str(error)
        raise UserError(f"{url} needs another library: {way}") from error
    except ValueError as error:
        raise UserError(f"{url} is of no known kind ({_line(error)})") from error
    except Exception as error:  # of credentials, say
        raise UserError(f"{url} cannot be used ({_line(error)})") from error
    return files, root.rstrip("/")


def _whole(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Those that count, and those of checkpoints whose seal is missing."""
    names = list(names)
    sealed = {str(PurePosixPath(n).parent) for n in names if _rank(n) == 2}

    def counts(name: str) -> bool:
        parts = PurePosixPath(name).parts
        in_one = len(parts) > 2 and parts[0] == _CHECKPOINTS
        return not in_one or "/".join(parts[:2]) in sealed

    complete = [name for name in names if counts(name)]
    return complete, [name for name in names if not counts(name)]


def _newest(names: Iterable[str]) -> str:
    """The name of the newest checkpoint; names of one length sort by age."""
    found = [PurePosixPath(name).parts for name in names if _rank(name) == 2]
    return max(
        (parts[1] for parts in found if parts[1].startswith("nimg_")), default=""
    )


def _rank(name: str) -> int:
    """In which order files are copied: what refers to others comes after them."""
    parts = PurePosixPath(name).parts
    if parts[0] != _CHECKPOINTS:
        return 0
    if len(parts) == 3 and parts[2] == _SEAL:
        return 2
    return 3 if len(parts) == 2 else 1


def _line(error: BaseException) -> str:
    text = (str(error).strip() or "no message").splitlines()[0][:200]
    return f"{type(error).__name__}: {text}"


def _refuse(url: str) -> None:
    raise UserError(f"another process on this machine works on {url}")
