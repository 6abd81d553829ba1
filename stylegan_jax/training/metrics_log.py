"""Metrics of a run on disk: JSON lines and TensorBoard."""

import contextlib
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorboardX

from stylegan_jax.io import records
from stylegan_jax.io.atomic import atomic_write

_log = logging.getLogger(__name__)


class MetricsLog:
    """`metrics.jsonl` and `tensorboard/` of a run directory."""

    def __init__(self, workdir: Path, restored_nimg: int) -> None:
        """Opens both, dropping records after `restored_nimg` images."""
        self._workdir, self._path = workdir, workdir / "metrics.jsonl"
        drop_lines_after(self._path, restored_nimg)
        self.tensorboard: tensorboardX.SummaryWriter | None
        self.tensorboard = self._open(restored_nimg)

    def write(self, nimg: int, numbers: Mapping[str, float]) -> None:
        """Adds a record; raises OSError where the disk is full or refuses."""
        record: dict[str, Any] = {"nimg": nimg, "kimg": nimg / 1000}
        record["time"] = round(time.time(), 3)
        for name, value in numbers.items():
            value = float(value)
            record[name] = value if math.isfinite(value) else None  # JSON has no NaN
        records.add_line(self._path, record)
        if self.tensorboard is None:
            self.tensorboard = self._open(nimg)
        for name, value in numbers.items():
            self.tensorboard.add_scalar(name, float(value), nimg)
        self.tensorboard.flush()

    def close(self) -> None:
        """Closes the files."""
        if self.tensorboard is not None:
            with contextlib.suppress(OSError):
                self.tensorboard.close()

    def _open(self, nimg: int) -> tensorboardX.SummaryWriter:
        # A full disk ends its thread; a short queue would then block for ever.
        return tensorboardX.SummaryWriter(
            str(self._workdir / "tensorboard"),
            purge_step=nimg + 1 if nimg else None,
            max_queue=10_000,
        )


def drop_lines_after(path: Path, nimg: int) -> None:
    """Removes lines beyond `nimg` or cut short; keeps a copy of a damaged file."""
    if not path.exists():
        return
    kept, damaged, count = [], [], 0
    for line in records.log_lines(path, {"nimg": int}, inside=path.parent):
        count = line.number
        if line.value is None:
            damaged.append(count)
        elif line.value["nimg"] <= nimg:
            kept.append(line.text)
    if damaged and damaged != [count]:
        records.warn_of_damage(path, tuple(damaged))
        _log.warning("the file as it was is now %s", records.set_aside(path))
    elif len(kept) == count:
        return
    content = "".join(kept).encode("utf-8", "surrogateescape")
    atomic_write(path, content)
