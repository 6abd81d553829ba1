"""Trains a generator: `python -m stylegan_jax.train RECIPE --workdir DIR [flags]`."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import tyro

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.common import cache, files, mirror
from stylegan_jax.common.bucket import is_remote
from stylegan_jax.common.errors import UserError
from stylegan_jax.data import kinds
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.metrics import measures, readiness
from stylegan_jax.metrics.measures import MeasureOptions
from stylegan_jax.metrics.names import Measure, parse_measures
from stylegan_jax.processes import JobFlags
from stylegan_jax.training import (
    preflight,
    run_directory,
    stored,
    stored_config,
    transfer,
)
from stylegan_jax.training.config import Config
from stylegan_jax.training.evaluation import Evaluator
from stylegan_jax.training.recovery import train
from stylegan_jax.training.schedule import phases, shortfall
from stylegan_jax.training.watchdog import Watchdog


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
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
    job: Annotated[JobFlags, tyro.conf.arg(name="")] = JobFlags()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    beginning: transfer.Beginning | None = None

    def adapt(recipe: Config, words: Sequence[str]) -> Config:
        nonlocal beginning
        recipe, networks = with_init(recipe, words)
        beginning = None if networks is None else transfer.Beginning(networks)
        return recipe

    config, flags = cli.parse_recipe(
        Flags, argv, prog="python -m stylegan_jax.train", adapt=adapt
    )
    if flags.init_kimg and not flags.init:
        raise ValueError("--init-kimg goes with --init; add it, or leave both out")
    if beginning is not None:
        beginning = beginning._replace(kimg=flags.init_kimg)
    named = cli.is_given("data.name", argv)
    data, said = kinds.by_path(config.data, named=named)
    config = dataclasses.replace(config, data=data)
    wanted = parse_measures(config.metrics.names) if config.metrics.names else ()
    if not flags.workdir and not flags.dry_run:
        raise ValueError("--workdir is missing: say where the run is to be kept")
    use_compilation_cache()
    precision = config.run.matmul_precision
    jax.config.update(
        "jax_default_matmul_precision", None if precision == "default" else precision
    )
    flags.job.join()
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
        config = preflight.check(config, source, jax.device_count())
        evaluators = make_evaluators(config, wanted, source)
        if flags.dry_run:
            if flags.workdir and not is_remote(flags.workdir):
                run_directory.check(Path(flags.workdir), config, change=flags.change)
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
            )
            watchdog.begin("copying the run", math.inf)
    place = flags.workdir.rstrip("/")
    show(f"run directory: {place}; pictures: {place}/samples")


def with_init(
    recipe: Config, words: Sequence[str]
) -> tuple[Config, transfer.Source | None]:
    """The recipe with the networks of --init, or of the run that goes on.

    Args:
        recipe: the configuration before flags change it.
        words: of the command line, after the recipe.

    Returns:
        It, and the networks that a new run begins from.

    Raises:
        UserError: they cannot be read.
    """
    name = cli.value_of("--init", words)
    if not name:
        return recipe, None
    source = None
    workdir = Path(cli.value_of("--workdir", words) or "")
    if stored.step_directories(workdir / "checkpoints"):
        theirs = stored_config.model_config(workdir)
        begun = stored_config.read_config(workdir)["schedule"]["initial_resolution"]
    else:
        source = source_of(name)
        theirs, begun = source.config, source.resolution
    size = cli.value_of("--model.resolution", words) or ""
    if size.isdecimal():  # else the flags' reader explains what it should be
        theirs = dataclasses.replace(theirs, resolution=int(size))
    return transfer.with_networks(recipe, theirs, begun), source


def source_of(name: str) -> transfer.Source:
    """Every network that lies there, to begin from.

    Raises:
        UserError: see `loading.load`.
    """
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
    return transfer.Source(
        name=name,
        config=config,
        resolution=generator.resolution,
        fields={name: value for name, value in fields.items() if value is not None},
    )


def make_evaluators(
    config: Config, wanted: Sequence[Measure], source: Source
) -> list[Evaluator]:
    """What training runs at checkpoints, one per measure of `source`.

    Whatever would make a measure fail is found out here, before anything is trained.

    Raises:
        UserError: a measure cannot be taken: weights cannot be had, or the data does
            not allow it.
    """
    if not wanted:
        return []
    if config.model.resolution == 1:
        raise UserError(
            "metrics.names are measures of images, and this network draws points; "
            "measure them with python -m stylegan_jax.coverage RUN"
        )
    section = config.metrics
    options = MeasureOptions(
        mirror=config.data.mirror,
        inception=section.inception,
        vgg16=section.vgg16,
        lpips=section.lpips,
        features=section.features,
        seed=section.seed,
        batch_size=section.batch_size,
        quiet=True,  # the display of the run is there already
    )

    def evaluator(measure: Measure) -> Evaluator:
        try:
            scores = readiness.prepare(source, measure, options)
        except UserError as error:
            raise UserError(
                f"metrics.names has {measure.name}, which cannot be taken: {error}; "
                "--metrics.inception, .vgg16, .lpips and .features take files of yours"
            ) from error
        return Evaluator(
            name=measure.name,
            every_kimg=section.every_kimg or config.checkpoint.every_kimg,
            run=functools.partial(
                measures.take, source=source, measure=measure, options=options
            ),
            larger_is_better=scores,
        )

    return [evaluator(measure.on(len(source))) for measure in wanted]


def describe(config: Config) -> str:
    """The configuration and the phases, for people."""
    lines = [files.format_config(config), "", "phases:"]
    lines += [
        f"  {phase.title:<20} {phase.start_nimg / 1000:>10.3f} to "
        f"{phase.end_nimg / 1000:.3f} kimg, minibatch {phase.batch_size}"
        for phase in phases(config.schedule, config.model.resolution)
    ]
    short = shortfall(config.schedule, config.model.resolution)
    return "\n".join([*lines, *([f"warning: {short}"] if short else [])])


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, unless JAX was told where already."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        folder = str(cache.cache_folder("xla"))
        jax.config.update("jax_compilation_cache_dir", folder)
