"""Downloads of public files: once, bounded, resumable and with checksums.

Bytes collect in `NAME.part`, their origin in `NAME.part.json`; the rest is requested
if the file is unchanged (RFC 9110, 13.1.5 and 14.2).
"""

import contextlib
import errno
import http.client
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stylegan_jax.errors import UserError
from stylegan_jax.io import cache, web
from stylegan_jax.io.atomic import atomic_write
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
    """A public file in the cache, downloaded and checked on first use.

    Its SHA-256 must then stay the same (trust on first use). A file put there by hand
    is checked and accepted. UserError without the right file, or if it has changed.

    Args:
        path: in `cache.folder`; returned.
        urls: in the order to try.
        content: description, for messages.
        notice: licence, logged the first time.
        by_hand: the manual way, for the message.
        sha256: or its first digits, as far as they are published.
        check: raises UserError for other content.
    """
    wrong = f"{path} is not {content}, or damaged:"
    again = "; remove it to have it fetched again"

    def digest(known: str | None) -> str:
        found = cache.sha256(path)
        if known is not None and not found.startswith(known):
            more = "..." if len(known) < 64 else ""
            raise UserError(f"{wrong} its SHA-256 is {found}, not {known}{more}")
        return found

    def is_unchanged() -> bool:
        known = cache.recorded(path)
        if known is None or not path.exists():
            return False
        try:
            digest(known)
        except UserError as error:
            raise UserError(f"{error}{again}") from error
        return True

    if is_unchanged():
        return path  # without a lock: the cache may be read-only
    with cache.exclusive(path):
        if is_unchanged():  # by now
            return path
        here = path.exists()
        if not here:
            _from_any(urls, path, content, max_bytes, by_hand)
        try:
            found = digest(sha256)
            check(path)
        except UserError as error:
            if here:
                raise UserError(f"{error}{again}") from error
            path.unlink()
            raise UserError(f"{error}; removed, fetch it again") from error
        cache.record(path, found)
    _log.warning("%s", notice)
    return path


def _from_any(
    urls: Sequence[str], path: Path, content: str, max_bytes: int, by_hand: str
) -> None:
    problems = []
    for url in urls:
        try:
            return download(url, path, max_bytes=max_bytes)
        except UnavailableError as error:
            problems.append(str(error))
    raise UserError(f"{content} cannot be fetched: {'; '.join(problems)}; {by_hand}")


def download(url: str, path: Path, *, max_bytes: int) -> None:
    """Downloads a file that is not a web page; hold `cache.exclusive` meanwhile.

    The URL is https, or http of this machine; the folder of `path` exists.

    Raises:
        UnavailableError: no connection, server error, web page, or too many bytes.
        UserError: the file cannot be written.
    """
    part = _Part(url, path, max_bytes)
    setbacks, received_any = 0, False
    while True:
        before = part.done
        try:
            part.complete()
            break
        except Setback as error:
            received = part.done - before
            received_any |= received > 0
            setbacks = 0 if received >= _PROGRESS else setbacks + 1
            hopeless = isinstance(error, Offline) and not received_any
            if hopeless or setbacks > len(_DELAYS):
                tries = f" ({setbacks} attempts)" if setbacks > 1 else ""
                raise UnavailableError(f"{error}{tries}") from error
            if isinstance(error, Changed):
                part.discard()
            delay = _DELAYS[max(setbacks - 1, 0)]
            _log.warning("%s; trying again in %g s", error, delay)
            time.sleep(delay)
    with part.local_errors():
        os.replace(part.path, path)
        part.info.unlink(missing_ok=True)


class _Part:
    """The bytes that have arrived, and what is known of the rest."""

    def __init__(self, url: str, path: Path, max_bytes: int) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self.info = path.with_name(f"{path.name}.part.json")
        self.done, self._validator = 0, ""  # an ETag or a date, as the server wrote it
        self._total: int | None = None  # bytes in the end, if the server said
        self._url, self._name, self._max_bytes = url, path.name, max_bytes
        # Nothing there, or nothing of use.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            info = json.loads(self.info.read_text())
            total, done = info["total"], self.path.stat().st_size
            if info["url"] == url and (total is None or done <= total):
                self.done, self._total = done, total
                self._validator = str(info["validator"])

    def discard(self) -> None:
        self.done = 0
        self.path.unlink(missing_ok=True)
        self.info.unlink(missing_ok=True)

    def complete(self) -> None:
        """Requests what is missing and appends it, or raises."""
        if self.done and self.done == self._total:
            return  # only the renaming was missing
        headers = {}
        if self.done and self._validator:
            headers = {"Range": f"bytes={self.done}-", "If-Range": self._validator}
        with web.open_file(self._url, headers) as response:
            if response.status == 206:
                self._check_rest(response)
            else:  # from the beginning: it changed, or the server does not know ranges
                self.done = 0
                self._total = _number(response.headers["Content-Length"])
                self._validator = _validator(response)
            with self.local_errors():
                self._check_size()
                if not self.done:
                    # First, so that old bytes never meet new information.
                    self.path.unlink(missing_ok=True)
                    info = {"url": self._url, "validator": self._validator}
                    atomic_write(self.info, json.dumps(info | {"total": self._total}))
                self._append(response)
        if self._total is not None and self.done < self._total:
            raise Setback(
                f"{self._url}: the connection was cut after {megabytes(self.done)} of "
                f"{megabytes(self._total)}"
            )

    def _check_rest(self, response: http.client.HTTPResponse) -> None:
        """Raises Changed unless a 206 continues these bytes."""
        header = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header.strip())
        if (
            match is None
            or int(match[1]) != self.done
            or _number(match[2]) not in (None, self._total)
            or _validator(response) not in ("", self._validator)
        ):
            raise Changed(f"{self._url}: the file there changed; starting over")

    def _check_size(self) -> None:
        total, folder = self._total or 0, self.path.parent
        if total > self._max_bytes:
            raise UnavailableError(
                f"{self._url}: {total} bytes, more than the {self._max_bytes} allowed"
            )
        needed = total - self.done + _MARGIN
        if (free := shutil.disk_usage(folder).free) < needed:
            raise UserError(
                f"{folder} has {megabytes(free)} free, {self._name} needs "
                f"{megabytes(needed)}; make room or choose another folder"
            )

    def _append(self, response: http.client.HTTPResponse) -> None:
        limit = self._total or self._max_bytes
        with (
            open(self.path, "ab") as file,
            progress_bar(of_bytes=True) as bar,
        ):
            size = "" if self._total is None else f", {megabytes(self._total)}"
            _log.info("downloading %s%s", self._name, size)
            task = bar.add_task(self._name, completed=self.done, total=self._total)
            while True:
                with web.network_errors(self._url):
                    # Not `read`: if a connection breaks, that loses what had arrived.
                    chunk = response.read1(_CHUNK)
                if not chunk:
                    break
                if self.done + len(chunk) > limit:
                    self.discard()
                    raise UnavailableError(
                        f"{self._url}: sends more than {limit} bytes"
                    )
                file.write(chunk)
                self.done += len(chunk)
                bar.advance(task, len(chunk))
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def local_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = (
                "make room, and it is continued" if full else "choose another folder"
            )
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}); {advice}"
            ) from error


def _validator(response: http.client.HTTPResponse) -> str:
    """Value of If-Range: no weak ETag; empty if there is none."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None
