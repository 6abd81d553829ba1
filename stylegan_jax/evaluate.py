"""Scores a generator: `python -m stylegan_jax.evaluate NETWORK --metrics fid50k`.

    python -m stylegan_jax.evaluate runs/portraits --metrics fid5k,kid5k,ppl_wend1k
    python -m stylegan_jax.evaluate ffhq --metrics fid50k,pr50k \
        --data.name folder --data.path images1024x1024 --data.mirror

A run is compared with the data it was trained on, unless --data says otherwise. The
official name of a measure is the official protocol; other numbers of images are named,
such as `fid5k`. Scores are printed and, for a run, added to `evaluations.jsonl` in it,
where the same command finds them again. One that was cut short continues.

Several processes share the images out: start the same command in each, with the flags
that training takes (docs/scaling.md). Network and data must be at hand in all of them.
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from stylegan_jax import cli, loading, processes
from stylegan_jax.common import cache
from stylegan_jax.common.files import to_json
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.features import own
from stylegan_jax.metrics import measures, records
from stylegan_jax.metrics.measures import MeasureOptions
from stylegan_jax.metrics.names import Measure, parse_measures
from stylegan_jax.metrics.store import digest
from stylegan_jax.networks.generator import Generator
from stylegan_jax.processes import JobFlags
from stylegan_jax.training import stored, stored_config
from stylegan_jax.training.watchdog import Watchdog


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateArgs:
    """Scores a generator by the paper's measures and those in use since."""

    # What `stylegan_jax.sample` takes: a run, a checkpoint, a file, or a name.
    network: cli.Network
    # Names with commas: fid50k, kid50k, pr50k, is50k, ppl_zfull, ppl_wfull, ppl_zend,
    # ppl_wend, ls; with other numbers of images fid5k, ppl_wend1k, ...
    metrics: str = "fid50k"
    data: DataConfig = DataConfig()
    inception: Path | None = None  # your own copy of the weights; else fetched once
    vgg16: Path | None = None  # likewise
    lpips: Path | None = None  # likewise, of LPIPS's linear layers
    # Of attributes, for ls: read, or trained and written if it is not there yet. It is
    # a feature file too.
    classifiers: Path | None = None
    # A network of your own instead of these (docs/metrics.md). The scores are others
    # and bear its name, such as fd5k[NAME] for fid5k.
    features: Path | None = None
    seed: int = 0  # of everything random
    batch_size: int = 32  # images under way at once; scores change by rounding only
    cache: bool = True  # keep what was found of the data, and of samples so far
    again: bool = False  # take measures anew that the run has in evaluations.jsonl
    job: Annotated[JobFlags, tyro.conf.arg(name="")] = JobFlags()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    words = sys.argv[1:] if argv is None else list(argv)
    entry = cli.with_defaults(EvaluateArgs, stored_config.data_defaults(words))
    args = cli.parse(entry, words, prog="python -m stylegan_jax.evaluate")
    wanted = parse_measures(args.metrics)
    args.job.join()
    with Watchdog(0):  # of the other processes
        _evaluate(args, wanted)


def _evaluate(args: EvaluateArgs, wanted: Sequence[Measure]) -> None:
    generator = loading.load(args.network)
    source = open_source(args.data)
    options = _options(args)
    network = loading.located(args.network)
    run = stored_config.run_of(network)
    nimg = _images_shown(run, network)
    if jax.process_count() > 1:
        said = [args.metrics, args.seed, args.batch_size, args.cache]
        said += [digest(generator), to_json(args.data), source.name, len(source)]
        processes.require_same("network, data and settings", said)
    for measure, identity in _identified(wanted, generator, args, run):
        recorded = _recorded(args, run, identity)
        scores = recorded or measures.take(generator, source, measure, options)
        if jax.process_index() != 0:
            continue
        for name, score in scores.items():
            print(f"{name:<20} {score:.4f}", flush=True)
        if recorded:
            print("  (taken before; --again takes it anew)", file=sys.stderr)
        elif run is not None:
            records.add(run, {**identity, "nimg": nimg}, scores)


def _recorded(
    args: EvaluateArgs, run: Path | None, identity: dict[str, Any]
) -> dict[str, float] | None:
    """What the run has of this measure; process 0 looks, all go by it."""
    found = None
    writes = args.classifiers is not None and not args.classifiers.exists()
    if jax.process_index() == 0 and run is not None and not args.again and not writes:
        found = records.find(run, identity)
    return json.loads(processes.broadcast(json.dumps(found).encode()))


def _images_shown(run: Path | None, network: Path) -> int | None:
    """Images shown to the network of a checkpoint, or of a run's newest."""
    if run is None:
        return None
    folders = stored.step_directories(run / "checkpoints")
    named = {path.name: nimg for nimg, path in folders}
    return named.get(network.name, folders[0][0] if network == run else None)


def _identified(
    wanted: Iterable[Measure],
    generator: Generator,
    args: EvaluateArgs,
    run: Path | None,
) -> list[tuple[Measure, dict[str, Any]]]:
    """Measures, and for those of a run what they are recorded by."""
    if run is None:
        return [(measure, {}) for measure in wanted]
    files = {
        name: cache.sha256(path) if (path := getattr(args, name)) else None
        for name in ("inception", "vgg16", "lpips", "features")
    }
    # Classifiers that are still to be written are those of no file.
    path = args.classifiers
    files["classifiers"] = cache.sha256(path) if path and path.exists() else None
    data = {k: v for k, v in to_json(args.data).items() if k != "cache_gb"}
    other = own.load(args.features).name if args.features else None
    common = {
        "seed": args.seed,
        "network": digest(generator),
        "settings": {"data": data, **files},
    }
    return [(each, {"metric": each.name_on(other), **common}) for each in wanted]


def _options(args: EvaluateArgs) -> MeasureOptions:
    return MeasureOptions(
        mirror=args.data.mirror,
        inception=args.inception,
        vgg16=args.vgg16,
        lpips=args.lpips,
        classifiers=args.classifiers,
        features=args.features,
        seed=args.seed,
        batch_size=args.batch_size,
        cache=args.cache,
        quiet=not sys.stderr.isatty(),
    )


if __name__ == "__main__":
    cli.run_main(main)
