"""Object storage by URL: `gs://BUCKET/NAME`, `s3://BUCKET/NAME`, through fsspec."""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from stylegan_jax.errors import UserError

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


def in_a_line(error: BaseException) -> str:
    """An error's class and the first line of its message, cut to 200 characters."""
    text = (str(error).strip() or "no message").splitlines()[0][:200]
    return f"{type(error).__name__}: {text}"


class Bucket:
    """Objects with a common prefix, as files named by the rest."""

    def __init__(self, url: str) -> None:
        """Raises UserError without a library for the URL."""
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
        """Raises UserError unless the bucket can be written."""
        try:
            self._files.pipe_file(f"{self._root}/.writable", b"")
            self._files.rm_file(f"{self._root}/.writable")
        except Exception as error:
            raise UserError(
                f"{self.url} cannot be used ({in_a_line(error)}); is the bucket's name "
                "right, and are there credentials that may read and write it?"
            ) from error

    def is_object(self) -> bool:
        """Whether the URL names one object, not a prefix."""
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
        """The content of an object."""
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
