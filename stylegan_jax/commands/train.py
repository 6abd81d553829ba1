"""Trains a generator: `python -m stylegan_jax.train RECIPE --workdir DIR [flags]`."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import jax

from stylegan_jax import loading
from stylegan_jax.commands import cli, train_display
from stylegan_jax.commands.flag_groups import Job, require_at_least
from stylegan_jax.data import config as data_config
from stylegan_jax.data.sources import open_source
from stylegan_jax.distributed.watchdog import Watchdog
from stylegan_jax.errors import UserError
from stylegan_jax.evaluators import make_evaluators
from stylegan_jax.io import mirror
from stylegan_jax.io.mirror import is_remote
from stylegan_jax.metrics.names import parse_measures
from stylegan_jax.runs import run_directory, stored
from stylegan_jax.training import start, transfer
from stylegan_jax.training.config import Config
from stylegan_jax.training.recovery import train
from stylegan_jax.training.schedule import phases, shortfall
from stylegan_jax.verbs import use_compilation_cache, use_precision


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(Job):
    """Trains a generator, or continues the run in --workdir.

    A recipe is a Python file that is executed; its values are the defaults below.
    """

    # The run directory; required. A folder, or gs://BUCKET/NAME, s3://BUCKET/NAME.
    workdir: str = ""
    # Go on with settings that change the training from here on (docs/training.md).
    change: bool = False
    # Networks to begin from: a run, a checkpoint, a file, or a name such as portraits.
    init: str = ""
    init_kimg: float = 0.0  # with --init: thousands of images that count as shown
    dry_run: bool = False  # check everything, show configuration and phases, and leave


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    beginning: transfer.Beginning | None = None

    def adapt(recipe: Config, words: Sequence[str]) -> Config:
        nonlocal beginning
        recipe, beginning = with_init(recipe, words)
        return recipe

    config, flags = cli.parse_recipe(
        Flags, argv, prog="python -m stylegan_jax.train", adapt=adapt
    )
    if flags.init_kimg and not flags.init:
        raise UserError("--init-kimg goes with --init; add it, or leave both out")
    require_at_least(flags, init_kimg=0)
    if beginning is not None:
        beginning = dataclasses.replace(beginning, kimg=flags.init_kimg)
    named = cli.is_given("data.name", argv)
    data, said = data_config.by_path(config.data, named=named)
    config = dataclasses.replace(config, data=data)
    wanted = parse_measures(config.metrics.names) if config.metrics.names else ()
    if not flags.workdir and not flags.dry_run:
        raise UserError("--workdir is missing: say where the run is to be kept")
    use_compilation_cache()
    use_precision(config)
    flags.join_job()
    first = jax.process_index() == 0
    show = functools.partial(print, flush=True) if first else lambda text: None
    if said:
        show(said)
    if flags.dry_run:
        show(describe(config))
    show(f"reading {data.path or data.name}")
    with Watchdog(config.run.stall_seconds) as watchdog:
        source = open_source(data)
        show(f"{len(source):,} images of {source.name}")
        config = start.check(config, source, jax.device_count())
        evaluators = make_evaluators(config, wanted, source)
        if flags.dry_run:
            if flags.workdir and is_remote(flags.workdir):
                return
            workdir = Path(flags.workdir) if flags.workdir else None
            start.check_workdir(workdir, config, beginning, change=flags.change)
            return
        with mirror.mirrored(flags.workdir, active=first) as workdir:
            train(
                config,
                workdir,
                watchdog=watchdog,
                evaluators=evaluators,
                source=source,
                change=flags.change,
                beginning=beginning,
                reporter=train_display.show,
            )
            watchdog.pause()  # while the run is copied
    place = flags.workdir.rstrip("/")
    show(f"run directory: {place}; pictures: {place}/samples")


def with_init(
    recipe: Config, words: Sequence[str]
) -> tuple[Config, transfer.Beginning | None]:
    """The recipe, before flags, with the networks of --init or of the run.

    Returns the networks too if a new run starts from them. UserError if unreadable.
    """
    name = cli.value_of("--init", words)
    if not name:
        return recipe, None
    source = None
    workdir = Path(cli.value_of("--workdir", words) or "")
    if stored.step_directories(workdir / "checkpoints"):
        theirs = run_directory.model_config(workdir)
        stored_config = run_directory.read_config(workdir)
        begun = stored_config["schedule"]["initial_resolution"]
        waits = stored_config["optimizer"].get("g_from_kimg", 0.0)
    else:
        source = source_of(name)
        theirs, begun, waits = source.config, source.resolution, 0.0
        if "d_params" not in source.fields:
            waits = transfer.D_ALONE_KIMG + _number(words, "--init-kimg")
    size = cli.value_of("--model.resolution", words) or ""
    if size.isdecimal():  # else the flags' reader explains what it should be
        theirs = dataclasses.replace(theirs, resolution=int(size))
    return transfer.with_networks(recipe, theirs, begun, waits), source


def _number(words: Sequence[str], flag: str) -> float:
    try:
        number = float(cli.value_of(flag, words) or 0)
    except ValueError:  # the flags' reader explains what it should be
        return 0.0
    return number if 0 < number < math.inf else 0.0  # the others are refused later


def source_of(name: str) -> transfer.Beginning:
    """All networks of a path, to start from."""
    bundle = loading.load_bundle(name)
    generator, discriminator = bundle.generator, bundle.discriminator
    raw = bundle.raw or generator
    fields = {
        "g_params": raw.params,
        "g_ema": generator.params,
        "d_params": None if discriminator is None else discriminator.params,
        "w_avg": generator.w_avg,
        "noise": generator.noise,
    }
    config = generator.config
    if discriminator is not None:
        theirs = discriminator.config
        config = dataclasses.replace(
            config,
            mbstd_group_size=theirs.mbstd_group_size,
            mbstd_num_features=theirs.mbstd_num_features,
        )
    return transfer.Beginning(
        name=name,
        config=config,
        resolution=generator.resolution,
        fields={name: value for name, value in fields.items() if value is not None},
    )


def describe(config: Config) -> str:
    """A readable summary of the configuration and its phases."""
    lines = [run_directory.format_config(config), "", "phases:"]
    lines += [
        f"  {phase.title:<20} {phase.start_nimg / 1000:>10.3f} to "
        f"{phase.end_nimg / 1000:.3f} kimg, minibatch {phase.batch_size}"
        for phase in phases(config.schedule, config.model.resolution)
    ]
    short = shortfall(config.schedule, config.model.resolution)
    return "\n".join([*lines, *([f"warning: {cli.as_flags(short)}"] if short else [])])
