"""Scores a generator: `python -m stylegan_jax.evaluate NETWORK --metrics fid50k`.

A run's scores are kept in its `evaluations.jsonl` and not computed again. Several
processes, each started with the same command, share the images (docs/scaling.md).
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from stylegan_jax import loading
from stylegan_jax.classifiers import own
from stylegan_jax.commands import cli, known_data
from stylegan_jax.commands.flag_groups import FeatureWeights, Job
from stylegan_jax.commands.known_data import KnownData
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import Source
from stylegan_jax.distributed import processes
from stylegan_jax.distributed.watchdog import Watchdog
from stylegan_jax.errors import UserError
from stylegan_jax.io import cache
from stylegan_jax.io.records import to_json
from stylegan_jax.metrics import evaluations, measures
from stylegan_jax.metrics.names import Measure, parse_measures
from stylegan_jax.metrics.store import digest
from stylegan_jax.metrics.task import MeasureOptions, make_task
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs import run_directory, stored


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateArgs(FeatureWeights, Job):
    """Scores a generator by the paper's measures and those in use since."""

    # What `stylegan_jax.sample` takes: a run, a checkpoint, a file, or a name.
    network: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")
    ] = None
    # Pictures that were generated already, instead of a network: a folder, a zip file.
    images: Path | None = None
    # Names with commas: fid, kid and pr of as many images as the data has (50,000 at
    # most); fid50k, kid50k, pr50k, is50k, ppl_zfull, ppl_wfull, ppl_zend, ppl_wend, ls;
    # with other numbers of images fid300, fid5k, ppl_wend1k, ...
    metrics: str = "fid"
    # What the network is compared with; of a run its own.
    data: DataConfig = DataConfig()
    inception: Path | None = None  # your own copy of the weights; else fetched once
    # Of attributes, for ls: read, or trained and written if it is not there yet. It is
    # a feature file too.
    classifiers: Path | None = None
    # A network of your own instead of these (docs/metrics.md). The scores are others
    # and bear its name, such as fd5k[NAME] for fid5k. The word included is the network
    # that comes with the package.
    features: Path | None = None
    seed: int = 0  # of everything random
    batch_size: int = 32  # images under way at once; scores change by rounding only
    cache: bool = True  # keep what was found of the data, and of samples so far
    again: bool = False  # take measures anew that the run has in evaluations.jsonl


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    prog = "python -m stylegan_jax.evaluate"
    args, data = known_data.parse(EvaluateArgs, argv, prog=prog)
    wanted = parse_measures(args.metrics)
    if (args.network is None) == (args.images is None):
        raise UserError(f"give a network, {prog} NETWORK, or pictures by --images")
    args.join_job()
    with Watchdog():
        _evaluate(args, data, wanted)


def _evaluate(args: EvaluateArgs, data: KnownData, wanted: Sequence[Measure]) -> None:
    names = [
        x.name for x in dataclasses.fields(MeasureOptions) if hasattr(args, x.name)
    ]
    options = MeasureOptions(
        mirror=data.config is not None and data.config.mirror,
        quiet=not sys.stderr.isatty(),
        **{name: getattr(args, name) for name in names},
    )
    run = nimg = None
    if args.network is not None:
        made, path = loading.load(args.network), loading.located(args.network)
        what, run = digest(made), run_directory.run_of(path)
        nimg = None if run is None else _images_shown(run, path)
    else:
        assert args.images is not None
        made = measures.open_images(args.images)
        what = f"{len(made)} images of {made.name}"
    source = data.source if _needs_data(args, data, wanted, made) else None
    if jax.process_count() > 1:
        said = [args.metrics, args.seed, args.batch_size, args.cache, what]
        said += [to_json(data.config), (source.name, len(source)) if source else None]
        processes.require_same("network, data and settings", said)
    for measure in wanted:
        task = make_task(made, source, measure, options)
        of = task.about()
        identity = {"metric": task.name, "seed": args.seed, "network": what, "of": of}
        identity["settings"] = _settings(args, data)
        recorded = _recorded(args, run, identity)
        scores = recorded or measures.score(task)
        if jax.process_index() != 0:
            continue
        for name, score in scores.items():
            print(f"{name:<20} {score:.4f}", flush=True)
        print(f"  ({_told(of)})", file=sys.stderr)
        if recorded:
            print("  (taken before; --again takes it anew)", file=sys.stderr)
        elif run is not None:
            evaluations.add(run, {**identity, "nimg": nimg}, scores)


def _needs_data(
    args: EvaluateArgs,
    data: KnownData,
    wanted: Sequence[Measure],
    made: Generator | Source,
) -> bool:
    """Whether images are compared, or labels are taken from known data."""
    file = args.classifiers
    teaches = any(measure.kind == "ls" for measure in wanted) and not (
        file is not None and file.exists()
    )
    conditional = isinstance(made, Generator) and made.config.label_size > 0
    labels = data.config is not None and (teaches or conditional)
    return labels or any(measure.compares for measure in wanted)


def _told(of: dict[str, Any]) -> str:
    text = f"{of['samples']:,} samples"
    if "reals" in of:
        text += f", {of['reals']:,} of {of['images']:,} images of {of['data']}"
        text += f", {of['fingerprint'][:8]}"
    elif "data" in of:
        text += f", labels of {of['data']}"
    return text + (f"; {of['note']}" if "note" in of else "")


def _recorded(
    args: EvaluateArgs, run: Path | None, identity: dict[str, Any]
) -> dict[str, float] | None:
    """Recorded scores of a measure; process 0 reads, all follow."""
    found = None
    writes = args.classifiers is not None and not args.classifiers.exists()
    if jax.process_index() == 0 and run is not None and not args.again and not writes:
        found = evaluations.find(run, identity)
    return json.loads(processes.broadcast(json.dumps(found).encode()))


def _images_shown(run: Path, network: Path) -> int | None:
    """Training images of a checkpoint's network, or of a run's newest."""
    folders = stored.step_directories(run / "checkpoints")
    named = {path.name: nimg for nimg, path in folders}
    return named.get(network.name, folders[0][0] if network == run else None)


def _settings(args: EvaluateArgs, data: KnownData) -> dict[str, Any]:
    settings: dict[str, Any] = {"data": to_json(data.config) or {}}
    settings["data"].pop("cache_gb", None)
    for name in ("inception", "vgg16", "lpips", "features", "classifiers"):
        path: Path | None = getattr(args, name)
        if path is not None and name == "features":
            path = own.located(path)
        # Classifiers that are still to be written are those of no file.
        written = path is not None and (name != "classifiers" or path.exists())
        settings[name] = cache.sha256(path) if path and written else None
    return settings
