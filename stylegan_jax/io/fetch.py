"""Downloads of public files: once, bounded, resumable and with checksums.

Bytes collect in `NAME.part`, their origin in `NAME.part.json`; the rest is requested
if the file is unchanged (RFC 9110, 13.1.5 and 14.2).
"""

import contextlib
import dataclasses
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
from typing import Any

from stylegan_jax.errors import UserError
from stylegan_jax.io import cache, web
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.terminal import megabytes, transfer
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


@dataclasses.dataclass(frozen=True)
class _Job:
    url: str
    path: Path
    max_bytes: int

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def part_info(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.part_info.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class _Begun:
    done: int = 0  # bytes
    validator: str = ""  # an ETag or a date, as the server wrote it
    total: int | None = None  # bytes in the end, if the server said


def download(url: str, path: Path, *, max_bytes: int) -> None:
    """Downloads a file that is not a web page; hold `cache.exclusive` meanwhile.

    The URL is https, or http of this machine; the folder of `path` exists.

    Raises:
        UnavailableError: no connection, server error, web page, or too many bytes.
        UserError: the file cannot be written.
    """
    job = _Job(url, path, max_bytes)
    setbacks, received_any = 0, False
    while True:
        before = _begun(job).done
        try:
            _attempt(job)
            break
        except Setback as error:
            received = _begun(job).done - before
            received_any |= received > 0
            setbacks = 0 if received >= _PROGRESS else setbacks + 1
            hopeless = isinstance(error, Offline) and not received_any
            if hopeless or setbacks > len(_DELAYS):
                tries = f" ({setbacks} attempts)" if setbacks > 1 else ""
                raise UnavailableError(f"{error}{tries}") from error
            if isinstance(error, Changed):
                job.discard()
            delay = _DELAYS[max(setbacks - 1, 0)]
            _log.warning("%s; trying again in %g s", error, delay)
            time.sleep(delay)
    with _local_errors(job):
        os.replace(job.part, path)
        job.part_info.unlink(missing_ok=True)


def _attempt(job: _Job) -> None:
    """Completes the part file, or raises."""
    begun = _begun(job)
    if begun.done and begun.done == begun.total:
        return  # only the renaming was missing
    headers = {}
    if begun.done:
        headers = {"Range": f"bytes={begun.done}-", "If-Range": begun.validator}
    with web.open_file(job.url, headers) as response:
        if response.status == 206:
            _check_rest(job, begun, response)
        else:  # from the beginning: it changed, or the server does not know ranges
            begun = _Begun(0, "", _number(response.headers["Content-Length"]))
        if begun.total is not None and begun.total > job.max_bytes:
            raise UnavailableError(
                f"{job.url}: {begun.total} bytes, more than the {job.max_bytes} allowed"
            )
        with _local_errors(job):
            _check_space(job, (begun.total or 0) - begun.done)
            if not begun.done:
                # First, so that old bytes never meet new information.
                job.part.unlink(missing_ok=True)
                info = {"url": job.url, "validator": _validator(response)}
                atomic_write(job.part_info, json.dumps(info | {"total": begun.total}))
            done = _save(job, response, begun)
    if begun.total is not None and done < begun.total:
        raise Setback(
            f"{job.url}: the connection was cut after {megabytes(done)} of "
            f"{megabytes(begun.total)}"
        )


def _check_rest(job: _Job, begun: _Begun, response: http.client.HTTPResponse) -> None:
    """Raises Changed unless a 206 continues the part file."""
    header = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header.strip())
    if (
        match is None
        or int(match[1]) != begun.done
        or _number(match[2]) not in (None, begun.total)
        or _validator(response) not in ("", begun.validator)
    ):
        raise Changed(f"{job.url}: the file there changed; starting over")


def _check_space(job: _Job, needed: int) -> None:
    free = shutil.disk_usage(job.path.parent).free
    if free < needed + _MARGIN:
        raise UserError(
            f"{job.path.parent} has {megabytes(free)} free, {job.path.name} needs "
            f"{megabytes(needed + _MARGIN)}; make room or choose another folder"
        )


def _save(job: _Job, response: http.client.HTTPResponse, begun: _Begun) -> int:
    """Appends the response to the part file; returns its size."""
    done, limit = begun.done, begun.total or job.max_bytes
    with (
        open(job.part, "ab") as file,
        transfer(job.path.name, done=done, total=begun.total) as advance,
    ):
        while True:
            with web.network_errors(job.url):
                # Not `read`: when a connection breaks, that loses what had arrived.
                chunk = response.read1(_CHUNK)
            if not chunk:
                break
            done += len(chunk)
            if done > limit:
                job.discard()
                raise UnavailableError(f"{job.url}: sends more than {limit} bytes")
            file.write(chunk)
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    return done


def _begun(job: _Job) -> _Begun:
    try:
        info: Any = json.loads(job.part_info.read_text())
        if info["url"] == job.url and info["validator"]:
            total = None if info["total"] is None else int(info["total"])
            done = job.part.stat().st_size
            if total is None or done <= total:
                return _Begun(done, str(info["validator"]), total)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing there, or nothing of use
    return _Begun()


def _validator(response: http.client.HTTPResponse) -> str:
    """Value of If-Range: no weak ETag; empty if there is none."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


@contextlib.contextmanager
def _local_errors(job: _Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room, and it is continued" if full else "choose another folder"
        raise UserError(
            f"{job.part} cannot be written ({error.strerror}); {advice}"
        ) from error
