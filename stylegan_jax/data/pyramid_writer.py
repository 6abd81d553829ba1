"""Writer of prepared data, every image at every resolution. See `pyramid.py`."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from stylegan_jax.data.pyramid import FORMAT
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.io import locks

MIN_RESOLUTION = 4
# Groups of one record make random access possible.
_WRITER_OPTIONS = "group_size:1,zstd:1"
_CHUNK = 64  # images drawn or decoded at once


def halve(image: np.ndarray) -> np.ndarray:
    """Next lower level: mean of 2x2 pixels, uint8 `[H, W, C]`, rounded half to even.

    Source: `TFRecordExporter.add_image`, dataset_tool.py, NVlabs/stylegan.
    """
    pixels = image.astype(np.float32)
    pixels = pixels[0::2] + pixels[1::2]
    pixels = (pixels[:, 0::2] + pixels[:, 1::2]) * np.float32(0.25)
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def write_pyramid(
    source: Source,
    dest: str | os.PathLike,
    *,
    resolution: int,
    shard_bytes: int = 2**29,
    advance: Callable[[int], None] = lambda count: None,
) -> int:
    """Writes `source` at `resolution` and all levels down to 4; returns the count.

    Damaged images are left out; the folder appears under its name only when complete.
    `shard_bytes` is the size of a file before compression, `advance` is called with the
    number of images finished since the last call. Raises UserError if `dest` is in use,
    the resolution is wrong or the disk too small.
    """
    dest = Path(dest).expanduser().resolve()
    check_destination(dest, resolution)
    dest.parent.mkdir(parents=True, exist_ok=True)
    need = len(source) * source.num_channels * resolution**2 * 2 // 3
    free = shutil.disk_usage(dest.parent).free
    if need > free:
        raise UserError(
            f"{str(dest.parent)!r} has {free / 1e9:.1f} GB free, about "
            f"{need / 1e9:.1f} GB are needed; free some, or use a lower resolution or "
            f"max_images"
        )
    partial = dest.with_name(f".{dest.name}.partial")
    with locks.held(dest.with_name(f".{dest.name}.lock"), str(dest)):
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        partial.mkdir()
        try:
            count = _write_levels(source, partial, resolution, shard_bytes, advance)
            partial.replace(dest)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return count


def check_destination(dest: Path, resolution: int) -> None:
    """Raises the UserErrors of `write_pyramid` before any work is done."""
    if resolution < MIN_RESOLUTION or resolution & (resolution - 1):
        raise UserError(
            f"resolution {resolution} is not a power of two of at least "
            f"{MIN_RESOLUTION}"
        )
    if (dest / "index.json").exists():
        raise UserError(
            f"{str(dest)!r} holds a finished pyramid already; train on it with "
            f"name=pyramid, or delete the folder to prepare it again"
        )
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UserError(f"{str(dest)!r} exists and is not an empty folder")


class _Level:
    def __init__(self, folder: Path, resolution: int, per_file: int) -> None:
        self._folder, self._resolution, self._per_file = folder, resolution, per_file
        self.files: list[dict[str, Any]] = []

    def write(self, image: np.ndarray) -> None:
        if not self.files or self.files[-1]["count"] == self._per_file:
            self.close()
            name = f"r{self._resolution:04d}-{len(self.files):05d}.array_record"
            self._writer = ArrayRecordWriter(str(self._folder / name), _WRITER_OPTIONS)
            self.files.append({"file": name, "count": 0})
        self._writer.write(image.tobytes())
        self.files[-1]["count"] += 1

    def close(self) -> None:
        if self.files:
            self._writer.close()


def _write_levels(
    source: Source,
    folder: Path,
    resolution: int,
    shard_bytes: int,
    advance: Callable[[int], None],
) -> int:
    levels: list[_Level] = []  # from the highest
    for size in (resolution >> i for i in range(resolution.bit_length() - 2)):
        per_file = max(1, shard_bytes // (size**2 * source.num_channels))
        levels.append(_Level(folder, size, per_file))
    damaged: Mapping[int, str] = getattr(source, "replaced", {})
    written: list[int] = []

    def make(index: int) -> list[np.ndarray]:
        made = [source.image(index, resolution)]
        while len(made) < len(levels):
            made.append(halve(made[-1]))
        return made

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for start in range(0, len(source), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(source)))
            for index, made in zip(chunk, pool.map(make, chunk), strict=True):
                if index not in damaged:
                    written.append(index)
                    for level, image in zip(levels, made, strict=True):
                        level.write(image)
            advance(len(chunk))
    for level in levels:
        level.close()
    index_data = {
        "format": FORMAT,
        "name": source.name,
        "num_images": len(written),
        "num_channels": source.num_channels,
        "labels": _write_labels(source, written, folder),
        "levels": {str(resolution >> i): x.files for i, x in enumerate(levels)},
    }
    (folder / "index.json").write_text(json.dumps(index_data, indent=1) + "\n")
    return len(written)


def _write_labels(
    source: Source, indices: Sequence[int], folder: Path
) -> dict[str, object] | None:
    if not source.label_size:
        return None
    values = np.empty(len(indices), np.int64)
    for place, index in enumerate(indices):
        label = source.label(index)
        values[place] = label.argmax()
        if label.sum() != 1 or label.max() != 1:  # not one-hot: keep whole vectors
            values = np.stack([source.label(index) for index in indices])
            break
    np.save(folder / "labels.npy", values)
    names = list(source.label_names)
    return {"file": "labels.npy", "size": source.label_size, "names": names}
