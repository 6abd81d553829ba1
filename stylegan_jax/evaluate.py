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
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from stylegan_jax import cli, loading
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.metrics import measures
from stylegan_jax.metrics.measures import MeasureOptions
from stylegan_jax.metrics.names import parse_measures
from stylegan_jax.training.stored_config import read_config


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
    wanted = parse_measures(args.metrics)
    generator = loading.load(args.network)
    source = open_source(args.data)
    for measure in wanted:
        scores = measures.take(generator, source, measure, _options(args))
        for name, score in scores.items():
            print(f"{name:<20} {score:.4f}", flush=True)
        if (args.network / "config.json").exists():
            record = {"metric": measure.name, **scores, "seed": args.seed}
            with open(args.network / "evaluations.jsonl", "a") as file:
                file.write(json.dumps(record) + "\n")


def _options(args: EvaluateArgs) -> MeasureOptions:
    return MeasureOptions(
        mirror=args.data.mirror,
        inception=args.inception,
        vgg16=args.vgg16,
        lpips=args.lpips,
        seed=args.seed,
        batch_size=args.batch_size,
        quiet=not sys.stderr.isatty(),
    )


if __name__ == "__main__":
    cli.run_main(main)
