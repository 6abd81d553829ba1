"""Scores a generator: `python -m stylegan_jax.evaluate NETWORK --metrics fid50k`.

    python -m stylegan_jax.evaluate runs/portraits --metrics fid5k,kid5k,ppl_wend1k
    python -m stylegan_jax.evaluate ffhq --metrics fid50k,pr50k \
        --data.name folder --data.path images1024x1024 --data.mirror

A run is compared with the data it was trained on, unless --data says otherwise. The
official name of a measure is the official protocol; other numbers of images are named,
such as `fid5k`. Scores are printed and, for a run, added to `evaluations.jsonl` in it.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from stylegan_jax import cli, loading
from stylegan_jax.common.errors import UserError
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits import Portraits
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.features import inception, lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import drawing, frechet, kernel, precision_recall, statistics
from stylegan_jax.metrics.attribute_classifiers import attribute_classifiers
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.names import Measure, parse_measures
from stylegan_jax.metrics.path_length import path_length
from stylegan_jax.metrics.separability import sample_for_separability, separability
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training.stored_config import read_config

Scores = dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateArgs:
    """Scores a generator by the paper's measures and those in use since."""

    # What `stylegan_jax.sample` takes: a run, a checkpoint, a file, or a name.
    network: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]
    # Names with commas: fid50k, kid50k, pr50k, is50k, ppl_zfull, ppl_wfull, ppl_zend,
    # ppl_wend, ls; with other numbers of images fid5k, ppl_wend1k, ...
    metrics: str = "fid50k"
    data: DataConfig = DataConfig()
    inception: Path | None = None  # your own copy of the weights; else fetched once
    vgg16: Path | None = None  # likewise
    lpips: Path | None = None  # likewise, of LPIPS's linear layers
    seed: int = 0  # of everything random
    batch_size: int = 32  # images under way at once; scores change by rounding only


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    words = sys.argv[1:] if argv is None else list(argv)
    run = next((Path(word) for word in words if not word.startswith("-")), Path())
    entry = EvaluateArgs
    if (run / "config.json").exists():
        own = DataConfig(**read_config(run)["data"])
        field = dataclasses.field(default=own)
        entry = dataclasses.make_dataclass(
            "EvaluateArgs",
            [("data", DataConfig, field)],
            bases=(EvaluateArgs,),
            frozen=True,
            kw_only=True,
        )
        entry.__doc__ = EvaluateArgs.__doc__
    args = cli.parse(entry, words, prog="python -m stylegan_jax.evaluate")
    measures = parse_measures(args.metrics)
    generator = loading.load(args.network)
    source = open_source(args.data)
    for measure in measures:
        scores = evaluate(generator, source, measure, args)
        for name, score in scores.items():
            print(f"{name:<20} {score:.4f}", flush=True)
        if (args.network / "config.json").exists():
            record = {"metric": measure.name, **scores, "seed": args.seed}
            with open(args.network / "evaluations.jsonl", "a") as file:
                file.write(json.dumps(record) + "\n")


def evaluate(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    """Takes one measure.

    Args:
        generator: what is measured.
        source: the data to compare with.
        measure: which, and on how many images.
        args: weights, seed and batches; its `data.mirror` counts.

    Returns:
        Scores by name.

    Raises:
        UserError: weights cannot be had, or the data does not allow the measure.
    """
    return _MEASURES[measure.kind](generator, source, measure, args)


def _features(
    generator: Generator,
    source: Source,
    network: FrozenNetwork,
    measure: Measure,
    args: EvaluateArgs,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the data and of samples, `[count, size]` each."""
    if generator.resolution == 1:
        raise UserError(
            "this network draws points; measure them with python -m "
            "stylegan_jax.coverage RUN"
        )
    options: dict[str, Any] = {
        "batch_size": args.batch_size,
        "seed": args.seed,
        "quiet": not sys.stderr.isatty(),
    }
    real = drawing.features_of_reals(
        source,
        network,
        measure.count,
        generator.resolution,
        mirror=args.data.mirror,
        **options,
    )
    fake = drawing.features_of_fakes(generator, network, measure.count, **options)
    return real, fake


def _fid(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    network = inception.extractor(inception.load(args.inception))
    real, fake = _features(generator, source, network, measure, args)
    distance = frechet.frechet_distance(
        statistics.statistics_of([real]), statistics.statistics_of([fake])
    )
    return {measure.name: distance}


def _kid(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    network = inception.extractor(inception.load(args.inception))
    real, fake = _features(generator, source, network, measure, args)
    size = min(1000, measure.count)
    return {measure.name: kernel.kernel_distance(real, fake, subset_size=size).mean}


def _precision_recall(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    network = vgg16.fc2_extractor(vgg16.load(args.vgg16, dense=True))
    real, fake = _features(generator, source, network, measure, args)
    found = precision_recall.precision_recall(real, fake)
    return {
        f"{measure.name}_precision": found.precision,
        f"{measure.name}_recall": found.recall,
    }


def _inception_score(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    params = inception.load(args.inception)
    network = inception.extractor(params, "logits_unbiased")
    logits = drawing.features_of_fakes(
        generator,
        network,
        measure.count,
        batch_size=args.batch_size,
        seed=args.seed,
        quiet=not sys.stderr.isatty(),
    )
    mean, std = inception_score(logits)
    return {f"{measure.name}_mean": mean, f"{measure.name}_std": std}


def _path_length(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    params = lpips.load(trunk=args.vgg16, linear=args.lpips)
    _, path = measure.kind.split("_")
    found = path_length(
        generator,
        lambda a, b: lpips.distance(params, drawing.as_rgb(a), drawing.as_rgb(b)),
        space="z" if path[0] == "z" else "w",
        sampling="end" if path[1:] == "end" else "full",
        count=measure.count,
        seed=args.seed,
        batch_size=args.batch_size,
        quiet=not sys.stderr.isatty(),
    )
    return {measure.name: found.score}


def _separability(
    generator: Generator, source: Source, measure: Measure, args: EvaluateArgs
) -> Scores:
    if not isinstance(source, Portraits):
        raise UserError(
            f"{measure.name} needs attributes that are known, and those of "
            f"{source.name} are not; it works on the built-in portraits"
        )
    classifiers = attribute_classifiers(source, resolution=generator.resolution)
    for name, classifier in classifiers.items():
        print(f"classifier of {name}: {classifier.accuracy:.1%} right", flush=True)
    found = sample_for_separability(
        generator,
        classifiers,
        measure.count,
        args.seed,
        batch_size=args.batch_size,
        quiet=not sys.stderr.isatty(),
    )
    return {
        f"{measure.name}_z": separability(found.z, found.logits).score,
        f"{measure.name}_w": separability(found.w, found.logits).score,
    }


_MEASURES: dict[str, Callable[..., Scores]] = {
    "fid": _fid,
    "kid": _kid,
    "pr": _precision_recall,
    "is": _inception_score,
    **dict.fromkeys(("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend"), _path_length),
    "ls": _separability,
}


if __name__ == "__main__":
    cli.run_main(main)
