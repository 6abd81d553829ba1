"""Converting and loading networks: seconds, memory and sizes of files.

    python -m benchmarks.convert --json convert.json

Networks with random weights are made here: nothing is fetched. Each step runs in a
process of its own, so that its peak of resident memory (Python, JAX and XLA's compiler
included) is its own. Seconds are those of the step; `start s` is what importing the
package took before.
"""

import argparse
import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import processes, report
from stylegan_jax import loading
from stylegan_jax.commands import convert, sample
from stylegan_jax.interop import bundle, official_writer
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import init_generator

_COLUMNS: report.Columns = (
    ("step", "step", "s"),
    ("seconds", "seconds", ".1f"),
    ("start s", "start_seconds", ".1f"),
    ("peak MiB", "peak_mib", ".0f"),
    ("file MB", "file_mb", ".1f"),
)


def make_networks(model: ModelConfig) -> bundle.Bundle:
    """Two generators and a discriminator with random weights."""
    init = jax.jit(functools.partial(init_generator, config=model))
    images = (1, model.resolution, model.resolution, model.num_channels)
    d = jax.jit(lambda key: Discriminator(model).init(key, jax.numpy.zeros(images)))
    return bundle.Bundle(
        generator=init(jax.random.key(0)),
        raw=init(jax.random.key(1)),
        discriminator=bundle.TrainedDiscriminator(
            params=d(jax.random.key(2))["params"], config=model
        ),
    )


def steps(
    folder: Path, model: ModelConfig
) -> dict[str, tuple[Path, Callable[[], Any]]]:
    """What is measured, in order: the file that a step is about, and the step.

    The function does what must not be timed and returns the rest.
    """
    pickle = folder / "networks.pkl"
    exact, half = folder / "float32.safetensors", folder / "bfloat16.safetensors"

    def write() -> Callable[[], Any]:
        networks = jax.block_until_ready(make_networks(model))
        return lambda: official_writer.save_pickle(pickle, networks)

    def convert_to(*words: str) -> Callable[[], Callable[[], Any]]:
        return lambda: lambda: convert.main([str(pickle), *words])

    def load(path: Path) -> Callable[[], Callable[[], Any]]:
        return lambda: lambda: jax.block_until_ready(loading.load(path))

    def draw(path: Path) -> Callable[[], Callable[[], Any]]:
        flags = ["--seeds", "0-3", "--outdir", str(folder / "pictures")]
        return lambda: lambda: sample.main([str(path), *flags])

    return {
        "write .pkl": (pickle, write),
        "load .pkl": (pickle, load(pickle)),
        "convert to float32": (exact, convert_to(str(exact))),
        "convert to bfloat16": (half, convert_to(str(half), "--dtype", "bfloat16")),
        "load float32": (exact, load(exact)),
        "load bfloat16": (half, load(half)),
        "sample 4 of .pkl": (pickle, draw(pickle)),
        "sample 4 of float32": (exact, draw(exact)),
    }


def run_step(name: str, folder: Path, options: Sequence[str]) -> report.Row:
    """Runs one step in a process of its own; raises CalledProcessError if it fails."""
    words = [*options, "--step", name, "--folder", str(folder)]
    return {"step": name, **processes.run("benchmarks.convert", words)}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints one step after the other."""
    parser = argparse.ArgumentParser(description="Converting and loading networks.")
    add = parser.add_argument
    add("--resolution", type=int, default=1024)
    add("--channel-base", type=int, default=ModelConfig.channel_base)
    add("--channel-max", type=int, default=ModelConfig.channel_max)
    add("--json", type=Path, metavar="PATH", help="also write the results here")
    for name in ("--step", "--folder", "--started"):
        add(name, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    model = ModelConfig(
        resolution=args.resolution,
        channel_base=args.channel_base,
        channel_max=args.channel_max,
    )
    if args.step:
        _, prepare = steps(Path(args.folder), model)[args.step]
        processes.measure(prepare, float(args.started))
        return
    options = [
        f"--{name.replace('_', '-')}={getattr(args, name)}"
        for name in ("resolution", "channel_base", "channel_max")
    ]
    machine = report.machine() | {"cores": os.cpu_count()}
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    width = 20
    print("  ".join(heading.rjust(width) for heading, _, _ in _COLUMNS), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, _) in steps(Path(folder), model).items():
            row = run_step(name, Path(folder), options)
            row["file_mb"] = path.stat().st_size / 1e6
            rows.append(row)
            cells = [format(row[key], form).rjust(width) for _, key, form in _COLUMNS]
            print("  ".join(cells), flush=True)
    if args.json:
        result = {"machine": machine, "options": options, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
