"""Checkpoints of a run: saved behind the training loop's back, restored bitwise.

`save` copies the state to the host and returns; a thread computes the CRCs and
lets Orbax write, so the step may donate the state at once. Orbax writes to a
temporary directory and renames it, so a killed run leaves only leftovers. Only
process 0 reads and writes; the others get what it read over the network.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError, place_trouble
from stylegan_jax.io import timing
from stylegan_jax.runs import orbax_errors, retention, sharing, stored
from stylegan_jax.runs.retention import Criterion, Scores

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
        """Checks the fields; raises UserError."""
        if self.every_kimg < 0.001:
            raise UserError(f"every_kimg {self.every_kimg} is less than one image")
        if self.keep_last < 1:
            raise UserError(
                f"keep_last {self.keep_last} would keep nothing; use 1 or more"
            )
        if self.keep_every_kimg is not None and self.keep_every_kimg < 0.001:
            raise UserError(
                f"keep_every_kimg {self.keep_every_kimg} is less than one image;"
                " None keeps no milestones"
            )


class Restored(NamedTuple):
    """What a checkpoint held."""

    nimg: int  # real images shown when it was written
    state: Any  # like the template, or {name: nested dicts} from `load_latest`
    metadata: dict[str, Any]  # as given to `Checkpoints.save`
    scores: Scores  # as given to `Checkpoints.record_scores`, by evaluator


class Checkpoints:
    """The checkpoints of one run, in `workdir/checkpoints`."""

    def __init__(self, workdir: str | Path, config: CheckpointConfig) -> None:
        """Makes the directory and removes what a killed save left there."""
        self.directory = Path(workdir).absolute() / "checkpoints"
        self._config = config
        self._writes = jax.process_index() == 0
        self._manager: ocp.CheckpointManager | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending: concurrent.futures.Future[None] | None = None
        self._last_nimg = 0
        if self._writes:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()

    def due(self, nimg: int) -> bool:
        """Whether a cadence boundary was crossed since the last save or restore."""
        return timing.due(nimg, self._last_nimg, self._config.every_kimg)

    @property
    def last_nimg(self) -> int:
        """Image count of the last save or restore; 0 before any."""
        return self._last_nimg

    def latest_path(self) -> Path | None:
        """The newest finished checkpoint; does not wait for one being written."""
        steps = stored.step_directories(self.directory)
        return steps[0][1] if steps else None

    def save(
        self, nimg: int, state: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a checkpoint; the state's buffers may be donated on return.

        A full or unwritable disk is not fatal unless `on_error` is `stop`: a warning
        is logged, earlier checkpoints stay, and the next due save tries again. An
        existing checkpoint is left alone. Every process must call it.

        Args:
            nimg: real images shown so far; names the checkpoint.
            state: a pytree of arrays on the devices.
            metadata: anything JSON can hold.

        Raises:
            UserError: the state holds something else than plain arrays.
            UserError: an earlier save failed and `on_error` is `stop`.
            Exception: an earlier save failed for another reason than the disk.
        """
        self._finish()
        self._last_nimg = nimg
        named = stored.named_leaves(state)
        host = parallel.to_host(named)  # every process, in step
        if not self._writes:
            return
        # On CPU device_get is a view of the device's buffer, which the next step
        # may overwrite. Orbax refuses empty arrays; they hold nothing anyway.
        leaves = {
            name: leaf if leaf.flags.owndata else leaf.copy()
            for name, leaf in ((n, np.asarray(a)) for n, a in host.items())
            if leaf.size
        }
        self._pending = self._thread.submit(self._write, nimg, leaves, metadata or {})
        if not self._config.asynchronous:
            self._finish()

    def record_scores(
        self,
        nimg: int,
        evaluator: str,
        scores: Mapping[str, float],
        resolution: int,
        best: Criterion | None,
    ) -> None:
        """Keeps scores with the checkpoint of `nimg`, once that is written.

        Args:
            nimg: names the checkpoint; nothing happens if there is none.
            evaluator: whose scores they are.
            scores: by name.
            resolution: of the generator that was scored, in pixels.
            best: what chooses the best checkpoint, which is kept; None changes nothing.
        """
        self._finish()
        path = self.directory / stored.step_name(nimg)
        if not self._writes or not path.is_dir():
            return
        try:
            retention.add_scores(path, evaluator, scores, resolution)
            if best is not None:
                retention.choose_best(self.directory, best)
        except OSError as error:
            _log.warning("scores of %s were not kept (%s)", path.name, _reason(error))

    def restore_latest(self, template: Any) -> Restored | None:
        """Restores the newest readable checkpoint; None when there is none at all.

        A damaged checkpoint is logged, set aside as `unreadable_...` and the one
        before it is tried.

        Args:
            template: the state's structure, with `jax.ShapeDtypeStruct` or array
                leaves; each leaf comes back with its template's sharding.

        Raises:
            UserError: a readable checkpoint is of another shape than the template,
                or checkpoints exist and none is readable.
        """
        self._finish()
        found = sharing.share_step(self._read_latest() if self._writes else None)
        if found is None:
            return None
        nimg, step, scores = found
        state = sharing.place(
            step.leaves, template, self.directory / stored.step_name(nimg)
        )
        self._last_nimg = nimg
        return Restored(nimg, state, step.metadata, scores)

    def _read_latest(self) -> sharing.Found | None:
        steps = stored.step_directories(self.directory)
        for nimg, path in steps:
            try:
                step = stored.read_step(nimg, path)
                return sharing.Found(nimg, step, retention.read_scores(path))
            except stored.UnreadableCheckpoint as error:
                _log.warning("skipping checkpoint %s: %s", path.name, error)
                self._set_aside(path)
        if steps:
            raise UserError(
                f"none of the {len(steps)} checkpoints in {self.directory} can be read;"
                " they were renamed unreadable_*: start again to train from scratch"
            )
        return None

    def wait(self) -> Path | None:
        """Waits for the save under way; returns the newest finished checkpoint."""
        self._finish()
        return self.latest_path()

    def close(self) -> None:
        """Finishes the save under way and frees the writer."""
        try:
            self._finish()
        finally:
            self._thread.shutdown()
            self._close_manager()

    def __enter__(self) -> Checkpoints:
        """The checkpoints themselves."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes them."""
        self.close()

    def _finish(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(
        self, nimg: int, leaves: dict[str, np.ndarray], metadata: Mapping[str, Any]
    ) -> None:
        try:
            if self._manager is None:
                self._manager = _open_manager(self.directory, self._config)
            record = stored.describe(nimg, leaves, metadata)
            items = ocp.args.Composite(
                state=ocp.args.StandardSave(stored.nested(leaves)),
                meta=ocp.args.JsonSave(record),
            )
            orbax_errors.ignore_late_callbacks()
            with orbax_errors.thread_errors_told_once():
                saved = self._manager.save(nimg, args=items)
            if saved:  # not where there was one already
                # Without room for the note the arrays' own CRCs have to do.
                with contextlib.suppress(OSError):
                    stored.seal(self.directory / stored.step_name(nimg))
        except Exception as error:
            # A failed Orbax manager loses its next save too: open a new one then.
            self._close_manager()
            self._remove_leftovers()
            if place_trouble(error) is None:
                raise
            if self._config.on_error == "stop":
                raise UserError(
                    f"checkpoint at {nimg / 1000:.1f} kimg was not written to "
                    f"{self.directory} ({_reason(error)}); earlier ones are intact, "
                    "and checkpoint.on_error is stop"
                ) from error
            _log.warning(
                "checkpoint at %.1f kimg was not written (%s); earlier ones are intact,"
                " free space in %s, or make it writable, before the next is due",
                nimg / 1000,
                _reason(error),
                self.directory,
            )

    def _close_manager(self) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.close()

    def _remove_leftovers(self) -> None:
        for path in self.directory.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)

    def _set_aside(self, path: Path) -> None:
        # Left in place it would block a new save at the same count, be counted as
        # one of the newest, and push a good checkpoint out.
        if not self._writes:
            return
        target = path.with_name(f"unreadable_{path.name}")
        shutil.rmtree(target, ignore_errors=True)
        path.rename(target)
        retention.forget(self.directory, path.name)


def load_latest(path: str | Path, names: Sequence[str]) -> Restored:
    """Reads some fields of the newest readable checkpoint, as NumPy arrays.

    Neither the train state's classes nor the other fields (optimiser moments) are
    needed, and nothing is changed on disk.

    Args:
        path: a run directory, its `checkpoints` directory or one checkpoint.
        names: fields of the state, such as `["g_ema", "w_avg", "noise"]`.

    Returns:
        state: name -> nested dicts of arrays; tuples come back as tuples.

    Raises:
        UserError: there is no checkpoint, none is readable, or it lacks a name.
    """
    path = Path(path).absolute()
    steps = _steps_at(path)
    if not steps:
        raise UserError(
            f"no checkpoint in {path}; give a run directory or one of its checkpoints"
        )
    for nimg, step_path in steps:
        try:
            step = stored.read_step(nimg, step_path, names)
        except stored.UnreadableCheckpoint as error:
            _log.warning("skipping checkpoint %s: %s", step_path.name, error)
            continue
        tree = stored.sequences_restored(stored.nested(step.leaves))
        missing = [name for name in names if name not in tree]
        if missing:
            fields = sorted({name.split("/")[0] for name in step.names})
            raise UserError(
                f"{step_path} holds no {', '.join(missing)}; it holds"
                f" {', '.join(fields)}"
            )
        return Restored(nimg, tree, step.metadata, retention.read_scores(step_path))
    raise UserError(f"none of the {len(steps)} checkpoints in {path} can be read")


def _steps_at(path: Path) -> list[tuple[int, Path]]:
    own = [step for step in stored.step_directories(path.parent) if step[1] == path]
    return (
        own
        or stored.step_directories(path / "checkpoints")
        or stored.step_directories(path)
    )


def _open_manager(directory: Path, config: CheckpointConfig) -> ocp.CheckpointManager:
    every_kimg = config.keep_every_kimg
    every_nimg = None if every_kimg is None else max(1, round(every_kimg * 1000))
    options = ocp.CheckpointManagerOptions(
        step_prefix=stored.STEP_PREFIX,
        step_format_fixed_length=stored.STEP_DIGITS,
        preservation_policy=retention.policy(directory, config.keep_last, every_nimg),
        save_decision_policy=checkpoint_managers.FixedIntervalPolicy(1),
        enable_async_checkpointing=False,  # we are in a thread already
    )
    if jax.process_count() > 1:  # process 0 alone: no barriers with the others
        options = dataclasses.replace(
            options,
            create=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix="save"
            ),
        )
    return ocp.CheckpointManager(
        directory, item_names=("state", "meta"), options=options
    )


def _reason(error: BaseException) -> str:
    return place_trouble(error) or f"{type(error).__name__}: {error}"
