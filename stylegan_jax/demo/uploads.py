"""Uploads: a temporary folder, kept for an hour."""

import asyncio
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from gradio import processing_utils
from gradio_client.utils import strip_invalid_filename_characters
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from stylegan_jax.io.atomic import atomic_write

MOST_BYTES = 30 << 20  # of a request
_MOST_FILES = 8  # of a request; a painting is three
_MOST_KEPT = 1 << 30  # bytes, of all visitors
_KEPT_SECONDS = 3600
_AT_ONCE = 2  # whole files in memory


class Uploads:
    """The folder of uploads."""

    def __init__(self) -> None:
        """Creates the folder and redirects gradio's files there."""
        self.folder = Path(tempfile.mkdtemp(prefix="stylegan_jax_demo_")).resolve()
        os.environ["GRADIO_TEMP_DIR"] = str(self.folder)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._one = threading.Lock()

    def owns(self, path: str) -> bool:
        """Whether a path, links resolved, is a file in the folder."""
        try:
            found = Path(path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return False
        absolute = os.path.isabs(path) and found.is_relative_to(self.folder)
        return absolute and found.is_file()

    async def receive(self, request: Request) -> list[str]:
        """Stores the files of a form; returns paths as gradio does: FOLDER/HASH/NAME.

        Until they are complete they have no name, and go when the visitor does.
        HTTPException for what is not a form of files, or too many.
        """
        paths = []
        try:
            form = await request.form(max_files=_MOST_FILES, max_fields=_MOST_FILES)
        except MultiPartException as error:
            raise HTTPException(400, error.message) from error
        try:
            for part in form.getlist("files"):
                if isinstance(part, UploadFile):
                    async with self._turns:
                        data = await part.read()
                        store = asyncio.to_thread(self._store, part.filename, data)
                        paths.append(str(await store))
        finally:
            await form.close()
        return paths

    def _store(self, name: str | None, data: bytes) -> Path:
        kept = strip_invalid_filename_characters(Path(name or "").name).lstrip(".")
        kept = kept or "upload"
        path = self.folder / processing_utils.hash_bytes(data) / kept
        with self._one:
            self._make_room(len(data))
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, data)
        return path

    def sweep(self) -> None:
        """Deletes files older than an hour."""
        with self._one:
            self._make_room(0)

    def _make_room(self, needed: int) -> None:
        """Deletes old files, and the oldest until `needed` bytes fit."""
        found = []
        for path in self.folder.rglob("*"):
            try:
                status = path.stat()
            except OSError:
                continue
            if path.is_file():
                found.append((status.st_mtime, status.st_size, path))
        total, now = needed + sum(size for _, size, _ in found), time.time()
        for changed, size, path in sorted(found):
            if now - changed < _KEPT_SECONDS and total <= _MOST_KEPT:
                break
            path.unlink(missing_ok=True)
            total -= size
            try:
                path.parent.rmdir()
            except OSError:  # the folder itself, or there is more in it
                continue

    def close(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
