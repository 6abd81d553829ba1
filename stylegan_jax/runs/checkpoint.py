"""Asynchronous checkpoints of a run, restored bitwise.

`Checkpoints.save` copies the state to the host and returns; a thread computes CRCs and
lets Orbax write, so the step may donate the state at once. Only process 0 reads and
writes; the others get its data over the network, and no file system need be shared.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import logging
import math
import resource
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax.serialization import msgpack_restore, msgpack_serialize

from stylegan_jax.distributed import parallel, processes
from stylegan_jax.errors import UserError, place_trouble
from stylegan_jax.io import timing
from stylegan_jax.limits import require
from stylegan_jax.runs import retention, stored
from stylegan_jax.runs.retention import Criterion, Scores

_TEMPORARY = "orbax-checkpoint-tmp"  # in the names of what is being written
_AUGMENTATION = "augment/"  # its controller: a run may begin and end with it
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written and which of them are kept."""

    every_kimg: float = 100.0  # images shown between checkpoints, in thousands
    keep_last: int = 3  # newest checkpoints that are kept
    keep_every_kimg: float | None = 1000.0  # keep one per so many kimg for good
    asynchronous: bool = True  # write while training goes on
    # When the disk is full or may not be written: go on with a warning, or end the run.
    on_error: Literal["continue", "stop"] = "continue"

    def __post_init__(self) -> None:
        image = "less than one image; `keep_every_kimg` None keeps no milestones"
        cadences = ("every_kimg", "keep_every_kimg")
        require(self, "checkpoint", lambda x: x >= 0.001, image, *cadences)
        require(self, "checkpoint", lambda x: x >= 1, "not 1 or more", "keep_last")


class Restored(NamedTuple):
    """Contents of a checkpoint."""

    nimg: int  # real images shown when it was written
    state: Any  # like the template, or {name: nested dicts} from `load_latest`
    metadata: dict[str, Any]  # as given to `Checkpoints.save`
    scores: Scores  # of a run that goes on: as given to `record_scores`, by evaluator


class Checkpoints:
    """Checkpoints of one run, in `workdir/checkpoints`; close it, or use `with`."""

    def __init__(self, workdir: str | Path, config: CheckpointConfig) -> None:
        """Makes the directory and removes leftovers of interrupted saves."""
        self.directory = Path(workdir).absolute() / "checkpoints"
        self.last_nimg = 0  # images at the last save or restore; 0 before any
        self._config = config
        self._writes = jax.process_index() == 0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending: concurrent.futures.Future[None] | None = None
        if self._writes:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()

    def due(self, nimg: int) -> bool:
        """Whether a cadence boundary was crossed since the last save or restore."""
        return timing.due(nimg, self.last_nimg, self._config.every_kimg)

    def latest_path(self) -> Path | None:
        """The newest finished checkpoint; does not wait for one being written."""
        steps = stored.step_directories(self.directory)
        return steps[0][1] if steps else None

    def save(
        self, nimg: int, state: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a checkpoint; the state's buffers may be donated on return.

        Every process must call it, with a pytree of arrays on the devices and metadata
        of JSON values. Existing checkpoints are left alone. Unless `on_error` is
        `stop`, a full or unwritable disk is a warning, and the next due save tries
        again. Errors of an earlier save are raised here.
        """
        self.wait()
        self.last_nimg = nimg
        host = parallel.to_host(stored.named_leaves(state))  # every process, in step
        if not self._writes:
            return
        # On CPU these are views of the devices' buffers, which the next step may
        # overwrite. Orbax refuses empty arrays; they hold nothing anyway.
        leaves = {name: np.array(leaf) for name, leaf in host.items() if leaf.size}
        self._pending = self._thread.submit(self._write, nimg, leaves, metadata or {})
        if not self._config.asynchronous:
            self.wait()

    def _write(
        self, nimg: int, leaves: dict[str, np.ndarray], metadata: Mapping[str, Any]
    ) -> None:
        path = self.directory / stored.step_name(nimg)
        try:
            if path.exists():
                return
            _check_space(self.directory, sum(x.nbytes for x in leaves.values()))
            stored.write_step(nimg, path, leaves, metadata)
            every = self._config.keep_every_kimg
            every_nimg = None if every is None else max(1, round(every * 1000))
            retention.remove_old(self.directory, self._config.keep_last, every_nimg)
        except Exception as error:
            self._remove_leftovers()
            if place_trouble(error) is None:
                raise
            message = (
                f"checkpoint at {nimg / 1000:.1f} kimg was not written ("
                f"{place_trouble(error)}); earlier ones are intact, "
            )
            if self._config.on_error == "stop":
                raise UserError(f"{message}and checkpoint.on_error is stop") from error
            way_out = f"free space in {self.directory}, or make it writable, before the"
            _log.warning("%s%s next is due", message, way_out)

    def record_scores(
        self,
        nimg: int,
        evaluator: str,
        scores: Mapping[str, float],
        resolution: int,
        best: Criterion | None,
    ) -> None:
        """Stores an evaluator's scores with the checkpoint of `nimg`, if there is one.

        `resolution` is the scored generator's, in pixels. `best` is the criterion of
        the best checkpoint, which is kept; None changes nothing.
        """
        self.wait()
        path = self.directory / stored.step_name(nimg)
        if not self._writes or not path.is_dir():
            return
        try:
            retention.add_scores(path, evaluator, scores, resolution)
            if best is not None:
                retention.choose_best(self.directory, best)
        except OSError as error:
            _log.warning("scores of %s were not kept (%s)", path.name, error)

    def restore_latest(self, template: Any) -> Restored | None:
        """Restores the newest readable checkpoint; None when there is none at all.

        Damaged checkpoints are logged and renamed `unreadable_...`. `template` has the
        state's structure, with `jax.ShapeDtypeStruct` or array leaves, and its
        shardings. Raises UserError if a checkpoint does not fit the template, or none
        is readable.
        """
        self.wait()
        found = _share(self._read_latest() if self._writes else None)
        if found is None:
            return None
        path = self.directory / stored.step_name(found.nimg)
        state = _place(found.state, template, path)
        self.last_nimg = found.nimg
        return found._replace(state=state)

    def _read_latest(self) -> Restored | None:
        steps = stored.step_directories(self.directory)
        for nimg, path in steps:
            step = _read(nimg, path)
            if step is not None:
                scores = retention.read_scores(path)
                return Restored(nimg, step.leaves, step.metadata, scores)
            # In place it would block a save at the same count, and displace a good
            # checkpoint from the newest.
            retention.set_aside(path, "unreadable")
        if steps:
            raise UserError(
                f"none of the {len(steps)} checkpoints in {self.directory} can be read;"
                " they were renamed unreadable_*: start again to train from scratch"
            )
        return None

    def wait(self) -> Path | None:
        """Waits for the save under way; returns the newest finished checkpoint."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
        return self.latest_path()

    def close(self) -> None:
        """Finishes the save under way."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _remove_leftovers(self) -> None:
        for path in self.directory.glob(f"*.{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)


def load_latest(path: str | Path, names: Sequence[str]) -> Restored:
    """Reads fields of the newest readable checkpoint as NumPy arrays; changes no file.

    `path` is a run directory, its `checkpoints` directory or one checkpoint; `names`
    are fields such as `["g_ema", "w_avg", "noise"]`. The state comes as name -> nested
    dicts of arrays, with tuples. Raises UserError if no checkpoint is readable or it
    lacks a name.
    """
    path = Path(path).absolute()
    steps = [step for step in stored.step_directories(path.parent) if step[1] == path]
    steps = steps or stored.step_directories(path / "checkpoints")
    steps = steps or stored.step_directories(path)
    if not steps:
        raise UserError(
            f"no checkpoint in {path}; give a run directory or one of its checkpoints"
        )
    for nimg, step_path in steps:
        step = _read(nimg, step_path, names)
        if step is None:
            continue
        tree = stored.tree_of(step.leaves)
        missing = [name for name in names if name not in tree]
        if missing:
            fields = sorted({name.split("/")[0] for name in step.names})
            raise UserError(
                f"{step_path} holds no {', '.join(missing)}; it holds"
                f" {', '.join(fields)}"
            )
        return Restored(nimg, tree, step.metadata, {})
    raise UserError(f"none of the {len(steps)} checkpoints in {path} can be read")


def _read(
    nimg: int, path: Path, names: Sequence[str] | None = None
) -> stored.StoredStep | None:
    try:
        return stored.read_step(nimg, path, names)
    except stored.UnreadableCheckpoint as error:
        _log.warning("skipping checkpoint %s: %s", path.name, error)
        return None


def _check_space(directory: Path, size: int) -> None:
    """Raises OSError for what Orbax would complain of in every one of its threads."""
    if directory.is_dir() and size > shutil.disk_usage(directory).free:
        raise OSError(errno.ENOSPC, "too little space")
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Its data lie in files of up to 2 GB.
    if limit != resource.RLIM_INFINITY and min(size, 2**31) > limit:
        raise OSError(errno.EFBIG, "a file may not grow that large")


def _share(found: Restored | None) -> Restored | None:
    """Broadcasts from process 0, as bytes: a sum of floats loses the sign of zero."""
    if jax.process_count() == 1:
        return found
    content = msgpack_serialize(found._asdict()) if found else b""
    content = processes.broadcast(content)
    shared: Any = msgpack_restore(content) if content else None
    return None if shared is None else Restored(**shared)


def _place(leaves: Mapping[str, np.ndarray], template: Any, path: Path) -> Any:
    """The template's structure and shardings with the leaves' values, or UserError."""
    named = stored.named_leaves(template)
    differences = list(_differences(leaves, named))
    if differences:
        more = f"; and {len(differences) - 8} more" if len(differences) > 8 else ""
        raise UserError(
            f"{path} is intact but belongs to another model or optimiser"
            f" ({'; '.join(differences[:8])}{more}); use its own configuration or a"
            " new `workdir`"
        )

    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    values, shardings = {}, {}
    for name, like in named.items():
        # Zeros: empty arrays, and the state of augmentation newly turned on.
        values[name] = leaves.get(name, np.zeros(like.shape, like.dtype))
        shardings[name] = getattr(like, "sharding", None) or here
    placed = parallel.place(values, shardings)
    structure = jax.tree.structure(template)
    return jax.tree.unflatten(structure, [placed[name] for name in named])


def _differences(
    leaves: Mapping[str, np.ndarray], named: Mapping[str, Any]
) -> Iterator[str]:
    for name in {**named, **leaves}:
        value, like = leaves.get(name), named.get(name)
        if value is not None and like is not None:
            shapes = [f"{x.dtype}{list(x.shape)}" for x in (value, like)]
            if shapes[0] != shapes[1]:
                yield f"{name} is {shapes[0]}, not {shapes[1]}"
        elif not name.startswith(_AUGMENTATION):
            if value is not None:
                yield f"{name} is not expected"
            elif like is not None and math.prod(like.shape):
                yield f"{name} is missing"
