"""Downloads of public files: once, bounded and with checksums.

A broken connection is resumed if the file is unchanged (RFC 9110, 13.1.5 and 14.2).
"""

import contextlib
import dataclasses
import errno
import http.client
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from rich.progress import Progress, TaskID

from stylegan_jax.errors import UserError
from stylegan_jax.io import cache, web
from stylegan_jax.io.atomic import atomic_file
from stylegan_jax.io.terminal import megabytes, progress_bar
from stylegan_jax.io.web import Changed, Offline, Setback, UnavailableError

_DELAYS = (1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
_PROGRESS = 1 << 20  # bytes after which a failed attempt does not count as one
_MARGIN = 64 << 20  # bytes of disk to leave to others
_CHUNK = 1 << 18
_log = logging.getLogger(__name__)


def fetch(
    path: Path,
    urls: Sequence[str],
    *,
    content: str,
    max_bytes: int,
    notice: str,
    by_hand: str,
    sha256: str | None = None,
    check: Callable[[Path], object] = lambda path: None,
) -> Path:
    """The public file `path` of the cache, downloaded and checked on first use.

    Its SHA-256 (`sha256` or its first digits, if published) must then stay the same. A
    file put there by hand is checked and accepted. UserError without the right file, or
    if it has changed: `content` says what it is, `by_hand` the manual way. `notice`,
    the licence, is logged the first time; `check` raises UserError for other content.
    """

    def verify(known: str) -> str:
        found = cache.sha256(path)
        if not found.startswith(known):
            more = "..." if len(known) < 64 else ""
            raise UserError(
                f"{path} is not {content}, or damaged: its SHA-256 is {found}, not "
                f"{known}{more}"
            )
        return found

    fetched, problems = False, []
    # Without a lock if it is known: the cache may be read-only.
    known = cache.recorded(path) if path.exists() else None
    with contextlib.nullcontext() if known else cache.exclusive(path):
        known = cache.recorded(path) if path.exists() else None
        if not path.exists():
            for url in urls:
                try:
                    download(url, path, max_bytes=max_bytes)
                    fetched = True
                    break
                except UnavailableError as error:
                    problems.append(str(error))
            else:
                reasons = "; ".join(problems)
                raise UserError(f"{content} cannot be fetched: {reasons}; {by_hand}")
        try:
            found = verify(known or sha256 or "")
            if known:
                return path
            check(path)
        except UserError as error:
            if not fetched:
                again = "remove it to have it fetched again"
                raise UserError(f"{error}; {again}") from error
            path.unlink()
            raise UserError(f"{error}; removed, fetch it again") from error
        cache.record(path, found)
    _log.warning("%s", notice)
    return path


def download(url: str, path: Path, *, max_bytes: int) -> None:
    """Downloads a file that is not a web page, by https or from this machine.

    UnavailableError without a connection, for errors of the server, web pages, and too
    many bytes; UserError if the file cannot be written.
    """
    setbacks, received_any = 0, False
    with (
        _local_errors(path),
        atomic_file(path) as file,
        progress_bar(of_bytes=True) as bar,
    ):
        task = bar.add_task(path.name, total=None)
        transfer = _Transfer(url, path.name, file, max_bytes, bar, task)
        while True:
            before = transfer.done
            try:
                return transfer.attempt()
            except Setback as error:
                received = transfer.done - before
                received_any |= received > 0
                setbacks = 0 if received >= _PROGRESS else setbacks + 1
                hopeless = isinstance(error, Offline) and not received_any
                if hopeless or setbacks > len(_DELAYS):
                    tries = f" ({setbacks} attempts)" if setbacks > 1 else ""
                    raise UnavailableError(f"{error}{tries}") from error
                if isinstance(error, Changed):
                    transfer.done = 0
                delay = _DELAYS[max(setbacks - 1, 0)]
                _log.warning("%s; trying again in %g s", error, delay)
                time.sleep(delay)


@dataclasses.dataclass
class _Transfer:
    url: str
    name: str
    file: BinaryIO
    max_bytes: int
    bar: Progress
    task: TaskID
    done: int = 0  # bytes
    total: int | None = None  # bytes in the end, if the server said
    validator: str = ""  # an ETag or a date, as the server wrote it

    def attempt(self) -> None:
        """Requests what is missing and writes it; Setback if some remains."""
        headers = {}
        if self.done and self.validator and self.total is not None:
            headers = {"Range": f"bytes={self.done}-", "If-Range": self.validator}
        with web.open_file(self.url, headers) as response:
            if response.status == 206:
                rest = f"bytes {self.done}-{(self.total or 0) - 1}/{self.total}"
                found = response.headers.get("Content-Range"), _validator(response)
                if found not in ((rest, self.validator), (rest, "")):
                    raise Changed(f"{self.url}: the file there changed; starting over")
            else:  # from the beginning: it changed, or the server does not know ranges
                self.done, self.validator = 0, _validator(response)
                self.total = response.length
                self._check_size()
            self.file.seek(self.done)
            self.file.truncate()
            self._save(response)
        if self.total is not None and self.done < self.total:
            raise Setback(
                f"{self.url}: the connection was cut after {megabytes(self.done)} of "
                f"{megabytes(self.total)}"
            )

    def _check_size(self) -> None:
        folder, needed = Path(self.file.name).parent, (self.total or 0) + _MARGIN
        if (self.total or 0) > self.max_bytes:
            raise UnavailableError(
                f"{self.url}: {self.total} bytes, more than {self.max_bytes} allowed"
            )
        if (free := shutil.disk_usage(folder).free) < needed:
            raise UserError(
                f"{folder} has {megabytes(free)} free, {self.name} needs "
                f"{megabytes(needed)}; make room or choose another folder"
            )
        size = "" if self.total is None else f", {megabytes(self.total)}"
        _log.info("downloading %s%s", self.name, size)

    def _save(self, response: http.client.HTTPResponse) -> None:
        limit = self.total or self.max_bytes
        while True:
            with web.network_errors(self.url):
                # Not `read`: when a connection breaks, that loses what had arrived.
                chunk = response.read1(_CHUNK)
            if not chunk:
                break
            if self.done + len(chunk) > limit:
                raise UnavailableError(f"{self.url}: sends more than {limit} bytes")
            self.file.write(chunk)
            self.done += len(chunk)
            self.bar.update(self.task, completed=self.done, total=self.total)


def _validator(response: http.client.HTTPResponse) -> str:
    """Value of If-Range: no weak ETag; empty if there is none."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


@contextlib.contextmanager
def _local_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room" if full else "choose another folder"
        raise UserError(
            f"{path} cannot be written ({error.strerror}); {advice}"
        ) from error
