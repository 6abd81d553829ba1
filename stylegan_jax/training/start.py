"""Start of a run: settings fitted to the data, what may change, and its first state.

On resume, `FREE` settings change time, memory and what is kept, not the training.
`FROM_HERE` ones change the training from here on, and need `change`. The rest make
another network, and need a new run.
"""

import dataclasses
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from stylegan_jax.data.sources import Source, require_classes
from stylegan_jax.distributed import processes
from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.io.mirror import is_remote
from stylegan_jax.runs import run_directory
from stylegan_jax.runs.checkpoint import Checkpoints, Restored
from stylegan_jax.runs.run_directory import matches
from stylegan_jax.training import compiling, transfer
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import ScheduleConfig, phases, resolution_at
from stylegan_jax.training.state import init_state, place
from stylegan_jax.training.step import part_problem
from stylegan_jax.training.transfer import Beginning

BEGUN = "begun"  # of a new run's facts: what came along of other networks
FREE = (
    "schedule.total_kimg",  # moves the end only
    "checkpoint.*",
    "health.*",
    "metrics.*",
    "data.cache_gb",
    "data.path",  # the data may have been moved; other images are noticed
    "model.remat",
    "run.tick_kimg*",
    "run.grid_*",
    "run.shard_state",
    "run.stall_seconds",
)
FROM_HERE = (
    *("optimizer.learning_rate", "optimizer.d_rate", "optimizer.beta2"),
    *("optimizer.epsilon", "optimizer.ema_kimg", "optimizer.w_avg_beta"),
    *("optimizer.freeze_d", "optimizer.g_from_kimg"),
    *("loss.*", "augment.*", "data.*", "schedule.*"),
    *("model.dtype", "run.matmul_precision", "run.seed"),
)
_GROWING = ("initial_resolution", "stable_kimg", "fade_kimg")


def prepare(
    workdir: Path,
    config: Config,
    source: Source,
    mesh: Mesh,
    beginning: Beginning | None,
    *,
    change: bool,
) -> Config:
    """Prepares the run directory; returns the configuration, fitted to the data.

    Raises UserError, and AgreedError if processes differ in configuration or data.
    """
    config = check(config, source, mesh.size)
    processes.require_same(
        "configuration and data", [records.to_json(config), source.name, len(source)]
    )
    if jax.process_index() == 0:
        changed = check_workdir(workdir, config, beginning, change=change)
        run_directory.begin(
            workdir,
            config,
            source,
            devices=[str(device) for device in mesh.devices.flat],
            resolution=config.model.resolution,
            changed=changed,
        )
    return config


def check_workdir(
    workdir: Path | None,
    config: Config,
    beginning: Beginning | None,
    *,
    change: bool,
) -> dict[str, str]:
    """Checks that a run can begin or resume in a folder; as `changes`."""
    changed = {} if workdir is None else changes(workdir, config, change=change)
    if workdir is None or run_directory.shown(workdir) is None:
        transfer.check_frozen(config.optimizer, beginning)
        if beginning is not None:
            size = config.model.resolution
            transfer.first_image(config.schedule, size, beginning.kimg)
    return changed


def changes(workdir: Path, config: Config, *, change: bool) -> dict[str, str]:
    """Differences from the stored configuration, `name: before -> after`, by name.

    `config` is fitted to the data; `change` allows `FROM_HERE`. Raises UserError that
    names every setting that may not change, or if `workdir` is no run directory.
    """
    found = run_directory.changes(workdir, config)
    nimg = run_directory.shown(workdir)
    if not found or nimg is None:
        return found
    rest = {name: x for name, x in found.items() if not matches(name, FREE)}
    network = [x for name, x in rest.items() if not matches(name, FROM_HERE)]
    if network or (rest and not change):
        way = (
            "these make another network: give the stored values to continue this run"
            if network
            else "`change` trains on with the new ones from its last checkpoint; give "
            "the stored values to continue as before"
        )
        listed = "\n  ".join(network or rest.values())
        raise UserError(
            f"{workdir} was trained with other values (stored -> given):\n  {listed}\n"
            f"{way}, or `workdir` NEW `init` {shlex.quote(str(workdir))} for a new run "
            "from its networks"
        )
    if any(f"schedule.{name}" in found for name in _GROWING):
        stored = run_directory.read_config(workdir)["schedule"]
        before = ScheduleConfig(**{name: stored[name] for name in _GROWING})
        final = config.model.resolution
        size, new = (resolution_at(x, final, nimg) for x in (before, config.schedule))
        if new < size:
            raise UserError(
                f"{workdir} has grown to {size} px, and with these schedule.initial_"
                f"resolution, stable_kimg and fade_kimg it would be at {new} px after "
                f"{nimg / 1000:g} kimg; give smaller ones, or another `workdir`"
            )
    return found


def check(config: Config, source: Source, devices: int) -> Config:
    """The configuration, fitted to the data; UserError unless it can be trained.

    The error names every phase whose minibatch cannot be shared out over `devices` (of
    all processes), or what the data lacks.
    """
    config = fit_to_data(config, source)
    schedule = phases(config.schedule, config.model.resolution)
    problems = [part_problem(config.model, phase, devices) for phase in schedule]
    if any(problems):
        raise UserError("\n  ".join(dict.fromkeys(filter(None, problems))))
    waits, total = config.optimizer.g_from_kimg, config.schedule.total_kimg
    if waits >= total > 0:
        raise UserError(
            f"optimizer.g_from_kimg is {waits:g}, schedule.total_kimg {total:g}: the "
            "generator would never be trained; raise `schedule.total_kimg`, or give a "
            "smaller `optimizer.g_from_kimg`"
        )
    if config.data.holdout and config.data.part != "train":
        raise UserError(
            f"data.part is {config.data.part}: images that are held out would be "
            "trained on; leave `data.part` out, or set `data.holdout` to 0"
        )
    for resolution in {phase.resolution for phase in schedule}:
        source.image(0, resolution)  # prepared data may lack a resolution
    return config


def fit_to_data(config: Config, source: Source) -> Config:
    """Sets the networks' label size from the data, and makes a local path absolute.

    Raises UserError if the recipe set another size, labels are vectors that are no
    classes, or the discriminator would not see them.
    """
    require_classes(source)
    if source.label_size and not config.model.embed_labels:
        raise UserError(
            f"{source.name} has labels, and the discriminator of a network without "
            "label embedding (ProGAN's, configuration A) does not see them; set "
            "model.embed_labels, or data.labels to none"
        )
    wanted = config.model.label_size
    if wanted not in (0, source.label_size):
        raise UserError(
            f"model.label_size is {wanted}, but {source.name} has {source.label_size} "
            "classes; leave it at 0 to take the data's, or change data.labels"
        )
    model = dataclasses.replace(config.model, label_size=source.label_size)
    data = config.data
    if data.path and not is_remote(data.path):
        path = str(Path(data.path).expanduser().absolute())
        data = dataclasses.replace(data, path=path)
    return dataclasses.replace(config, model=model, data=data)


def restore_or_init(
    config: Config, checkpoints: Checkpoints, mesh: Mesh, beginning: Beginning | None
) -> Restored:
    """The newest good checkpoint, or a new state before the first image."""
    restored = checkpoints.restore_latest(compiling.abstract_state(config, mesh))
    if restored is not None:
        return restored
    key = jax.random.key(config.run.seed)
    state = init_state(key, config.model, config.optimizer, config.augment)
    nimg, facts = 0, {}
    if beginning is not None:
        state, rows = transfer.adopt(state, config.model, beginning)
        nimg = transfer.first_image(
            config.schedule, config.model.resolution, beginning.kimg
        )
        state = dataclasses.replace(state, nimg=jnp.asarray(nimg, jnp.int32))
        facts[BEGUN] = transfer.table(beginning, rows)
    return Restored(nimg, place(state, mesh, spread=config.run.shard_state), facts, {})
