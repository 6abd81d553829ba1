"""What the benchmarks share: options, settings, the table and the JSON file."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax

from benchmarks.measure import PRECISIONS, Cost, Rates
from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.networks.config import ModelConfig

# Images per minibatch on one GPU. Source: `sched.minibatch_dict`, NVlabs/stylegan,
# `train.py`, "1gpu".
OFFICIAL_BATCH_SIZE = ByResolution(
    4, ((4, 128), (8, 128), (16, 128), (32, 64), (64, 32), (128, 16), (256, 8))
)
RESOLUTIONS = (8, 16, 32, 64, 128, 256, 512, 1024)

Row = dict[str, Any]
# Heading, key of the row, format.
Columns = Sequence[tuple[str, str, str]]
COST_COLUMNS: Columns = (
    ("px", "resolution", "d"),
    ("precision", "precision", "s"),
    ("batch", "batch_size", "d"),
    ("analytic", "analytic_gflop", ".2f"),
    ("lowered", "lowered_gflop", ".2f"),
    ("compiled", "compiled_gflop", ".2f"),
    ("ratio", "ratio", ".3f"),
    ("to leanest", "ratio_to_leanest", ".3f"),
    ("arguments", "argument_mib", ".0f"),
    ("temporary", "temp_mib", ".0f"),
    ("compile s", "compile_seconds", ".0f"),
)
RATE_COLUMNS: Columns = (
    ("images/s", "images_per_second", ".3g"),
    ("GFLOP/s", "gflops", ".4g"),
    ("matmul", "matmul_gflops", ".4g"),
    ("share", "share", ".3f"),
    ("device peak", "peak_device_mib", ".0f"),
)
LEGEND = """\
analytic, lowered, compiled: GFLOP per image, by the specification, by XLA before and
after optimisation; ratio: compiled / analytic; to leanest: compiled / the analytic
count with every resampling convolution fused; arguments, temporary, device peak: MiB;
GFLOP/s: of the lowered program; matmul: GFLOP/s of a matrix product of this type and
precision, timed in turn with the program; share: the one over the other."""


class Setting(NamedTuple):
    """One row of a table, before it is measured."""

    model: ModelConfig
    resolution: int
    precision: str
    batch_size: int


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that both benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("--resolutions", type=int, nargs="+", default=RESOLUTIONS, metavar="R")
    add(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=list(PRECISIONS),
        help="float32 is true float32, default the hardware's (TF32 on NVIDIA)",
    )
    add("--batch-size", type=int, help="the official one for one GPU by default")
    add("--channel-base", type=int, default=ModelConfig.channel_base)
    add("--channel-max", type=int, default=ModelConfig.channel_max)
    add(
        "--final-resolution",
        type=int,
        help="of the networks; the largest of --resolutions by default",
    )
    add("--steps", type=int, default=10, help="timed calls at most")
    add("--seconds", type=float, default=20.0, help="for timed calls, in each row")
    add("--no-run", action="store_true", help="compile only: no speed, any size")
    add("--json", type=Path, metavar="PATH", help="also write the results here")
    return parser


def settings(args: argparse.Namespace) -> Iterator[Setting]:
    """Every combination of resolution and precision asked for.

    Raises:
        ValueError: sizes that the networks do not have.
    """
    for resolution in args.resolutions:
        for precision in args.precisions:
            model = ModelConfig(
                resolution=max(args.final_resolution or max(args.resolutions), 8),
                channel_base=args.channel_base,
                channel_max=args.channel_max,
                dtype=PRECISIONS[precision][0],  # type: ignore[arg-type]
            )
            batch_size = args.batch_size or OFFICIAL_BATCH_SIZE.at(resolution)
            yield Setting(model, resolution, precision, batch_size)


def make_row(
    setting: Setting, cost: Cost, *, analytic_flop: float, leanest_flop: float
) -> Row:
    """What is known of a program without running it.

    Args:
        setting: what was compiled.
        cost: of `setting.batch_size` images.
        analytic_flop: per image.
        leanest_flop: per image, with `fused_from=8`.
    """
    return {
        "resolution": setting.resolution,
        "precision": setting.precision,
        "batch_size": setting.batch_size,
        "analytic_gflop": analytic_flop / 1e9,
        "lowered_gflop": cost.lowered_flop / setting.batch_size / 1e9,
        "compiled_gflop": cost.compiled_flop / setting.batch_size / 1e9,
        "ratio": cost.compiled_flop / setting.batch_size / analytic_flop,
        "lowered_ratio": cost.lowered_flop / setting.batch_size / analytic_flop,
        "ratio_to_leanest": cost.compiled_flop / setting.batch_size / leanest_flop,
        "gtranscendentals": cost.transcendentals / setting.batch_size / 1e9,
        "argument_mib": cost.argument_mib,
        "temp_mib": cost.temp_mib,
        "peak_mib": cost.peak_mib,
        "compile_seconds": cost.compile_seconds,
    }


def add_rates(row: Row, rates: Rates, images: int, peak_mib: float | None) -> None:
    """Adds to a row what running the program showed.

    Args:
        row: as `make_row` returned it.
        rates: of calls with `images` images each.
        images: per call.
        peak_mib: as `peak_device_mib` returned it.
    """
    rate = images / rates.seconds
    row |= {
        "images_per_second": rate,
        "gflops": rate * row["lowered_gflop"],
        "matmul_gflops": rates.matmul_flops / 1e9,
        "share": rates.share,
        "timed_calls": rates.calls,
        "peak_device_mib": peak_mib,
    }


def run(
    measure_row: Callable[[Setting, argparse.Namespace], Row],
    args: argparse.Namespace,
) -> None:
    """Measures every setting, prints the table and writes the JSON file.

    Rows are printed as they come: each may take minutes.
    """
    columns = (*COST_COLUMNS, *([] if args.no_run else RATE_COLUMNS))
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    print("  ".join(_cell(name, name) for name, _, _ in columns), flush=True)
    rows = []
    for setting in settings(args):
        row = measure_row(setting, args)
        rows.append(row)
        cells = []
        for name, key, form in columns:
            value = row[key]
            cells.append(_cell(name, "-" if value is None else format(value, form)))
        print("  ".join(cells), flush=True)
    worst = max(rows, key=lambda row: row["ratio"])
    print(
        f"\n{LEGEND}\nhighest ratio: {worst['ratio']:.3f} at {worst['resolution']} px"
    )
    if args.json:
        options = {k: v for k, v in vars(args).items() if k != "json"}
        result = {"machine": machine(), "options": options, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What the figures depend on besides the program."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "processor": platform.machine(),
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "flax": flax.__version__,
    }


def _cell(heading: str, text: str) -> str:
    return text.rjust(max(len(heading), 8))
