"""Downloads a large file: continued where it was cut, and checked before it counts.

The bytes collect in `NAME.part`; `NAME.part.json` says what they are a part of. A
later call, or the next attempt of this one, asks for the rest (RFC 9110, 13.1.5 and
14.2) under the condition that the file is still the same. Only a file that is whole
and right gets its name.
"""

import contextlib
import dataclasses
import errno
import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stylegan_jax.errors import UserError
from stylegan_jax.io import file_cache, web
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.transfer_display import megabytes, note, transfer
from stylegan_jax.io.web import Changed, Offline, Setback, UnavailableError

_DELAYS = (1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
_PROGRESS = 1 << 20  # bytes after which a failed attempt does not count as one
_MARGIN = 64 << 20  # bytes of disk to leave to others
_CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    url: str
    path: Path
    size: int | None
    max_bytes: int

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def part_info(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Begun:
    """What is there of the file, and what to ask for the rest with."""

    done: int = 0  # bytes
    validator: str = ""  # an ETag or a date, as the server wrote it
    total: int | None = None  # bytes in the end, if the server said


def download(
    url: str,
    path: Path,
    *,
    max_bytes: int,
    size: int | None = None,
    sha256: str | None = None,
) -> None:
    """Downloads a file that is not a web page, and checks it.

    Keep other processes away meanwhile (`file_cache.exclusive`).

    Args:
        url: https; http only of this machine itself.
        path: what the file is to be called; its folder exists.
        max_bytes: the most that is accepted.
        size: how many bytes it has, if that is known.
        sha256: its SHA-256 in hexadecimal, if that is known.

    Raises:
        UnavailableError: the address does not give the file: no connection, an error
            of the server's, a web page instead, another size.
        UserError: the file is damaged (and was removed), or cannot be written.
    """
    job = _Job(url=url, path=path, size=size, max_bytes=max_bytes)
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
                _discard(job)
            delay = _DELAYS[max(setbacks - 1, 0)]
            note(f"{error}; trying again in {delay:g} s")
            time.sleep(delay)
    _finish(job, sha256)


def _attempt(job: _Job) -> None:
    """Fetches what is missing into the part file; raises if it is not whole then."""
    begun = _begun(job)
    if begun.done and begun.done == begun.total:
        return  # only the renaming was missing
    headers = {}
    if begun.done:
        headers = {"Range": f"bytes={begun.done}-", "If-Range": begun.validator}
    with web.open_file(job.url, headers) as response:
        if response.status == 206:
            total = _check_rest(job, begun, response)
        else:  # from the beginning: it changed, or the server does not know ranges
            begun, total = _Begun(), _number(response.headers["Content-Length"])
        limit = _check_total(job, total)
        with _local_errors(job):
            _check_space(job, (total or 0) - begun.done)
            if not begun.done:
                _write_info(job, response, total)
            done = _save(job, response, begun.done, total, limit)
    if total is not None and done < total:
        raise Setback(
            f"{job.url}: the connection was cut after {megabytes(done)} of "
            f"{megabytes(total)}"
        )


def _check_rest(
    job: _Job, begun: _Begun, response: http.client.HTTPResponse
) -> int | None:
    """Checks that a 206 continues what is here; returns the whole file's size."""
    header = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header.strip())
    total = _number(match[2]) if match else None
    if (
        match is None
        or int(match[1]) != begun.done
        or total not in (None, begun.total)
        or _validator(response) not in ("", begun.validator)
    ):
        raise Changed(f"{job.url}: the file there changed; starting over")
    return begun.total


def _check_total(job: _Job, total: int | None) -> int:
    """Refuses a wrong size before it is fetched; returns the most to accept."""
    if job.size is not None and total is not None and total != job.size:
        raise UnavailableError(
            f"{job.url}: the file there has {total} bytes, the right one {job.size}"
        )
    if total is not None and total > job.max_bytes:
        raise UnavailableError(
            f"{job.url}: {total} bytes, more than the {job.max_bytes} allowed"
        )
    return total if total is not None else job.size or job.max_bytes


def _check_space(job: _Job, needed: int) -> None:
    free = shutil.disk_usage(job.path.parent).free
    if free < needed + _MARGIN:
        raise UserError(
            f"{job.path.parent} has {megabytes(free)} free, {job.path.name} needs "
            f"{megabytes(needed + _MARGIN)}; make room or choose another folder"
        )


def _save(
    job: _Job,
    response: http.client.HTTPResponse,
    done: int,
    total: int | None,
    limit: int,
) -> int:
    """Appends the response to the part file; returns the bytes that are there."""
    with (
        open(job.part, "ab") as file,
        transfer(job.path.name, done=done, total=total) as advance,
    ):
        while True:
            with web.network_errors(job.url):
                # Not `read`: when a connection breaks, that loses what had arrived.
                chunk = response.read1(_CHUNK)
            if not chunk:
                break
            done += len(chunk)
            if done > limit:
                _discard(job)
                raise UnavailableError(f"{job.url}: sends more than {limit} bytes")
            file.write(chunk)
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    return done


def _finish(job: _Job, sha256: str | None) -> None:
    with _local_errors(job):
        size, digest = job.part.stat().st_size, file_cache.sha256(job.part)
        wrong = ""
        if job.size not in (None, size):
            wrong = f"it has {size} bytes, the right one {job.size}"
        elif sha256 not in (None, digest):
            wrong = f"its SHA-256 is {digest}, the right one's {sha256}"
        if wrong:
            _discard(job)
            raise UserError(f"{job.url}: {wrong}; removed, fetch it again")
        os.replace(job.part, job.path)
        job.part_info.unlink(missing_ok=True)


# --- The part file -----------------------------------------------------------------


def _begun(job: _Job) -> _Begun:
    """What an earlier attempt left, if it can be continued."""
    try:
        info: Any = json.loads(job.part_info.read_text())
        if info["url"] == job.url and info["validator"]:
            begun = _Begun(
                done=job.part.stat().st_size,
                validator=str(info["validator"]),
                total=None if info["total"] is None else int(info["total"]),
            )
            if begun.total is None or begun.done <= begun.total:
                return begun
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing there, or nothing of use
    return _Begun()


def _write_info(
    job: _Job, response: http.client.HTTPResponse, total: int | None
) -> None:
    info = {"url": job.url, "validator": _validator(response), "total": total}
    job.part.unlink(missing_ok=True)  # never old bytes with new information
    atomic_write(job.part_info, json.dumps(info))


def _validator(response: http.client.HTTPResponse) -> str:
    """What to say in If-Range, empty if nothing will do: weak ETags will not."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _discard(job: _Job) -> None:
    job.part.unlink(missing_ok=True)
    job.part_info.unlink(missing_ok=True)


@contextlib.contextmanager
def _local_errors(job: _Job) -> Iterator[None]:
    """Names the file when it cannot be written; the network has its own errors."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room, and it is continued" if full else "choose another folder"
        raise UserError(
            f"{job.part} cannot be written ({error.strerror}); {advice}"
        ) from error
