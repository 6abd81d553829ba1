"""The feature metrics: seconds and memory, of their mathematics and of a whole FID.

    python -m benchmarks.metrics --json metrics.json
    python -m benchmarks.metrics --whole 5000

The whole is that of 32 px, from the built-in portraits and an untrained generator of
the quickstart's widths to the score; Inception has its shapes and random weights,
which take as long as the right ones. Nothing is cached.

For the mathematics, features with random values are made here and stored in a file, as
an extractor would leave them; they are read in batches. Each step runs in a process of
its own (`benchmarks.processes`), and the peak includes Python and what the package
imports.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import processes, report
from stylegan_jax.commands import recipe_files
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.features import inception
from stylegan_jax.metrics import measures
from stylegan_jax.metrics.frechet import (
    frechet_distance,
    load_statistics,
    statistics_of,
)
from stylegan_jax.metrics.kernel import kernel_distance
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.precision_recall import precision_recall
from stylegan_jax.metrics.task import MeasureOptions
from stylegan_jax.networks.generator import init_generator

_BATCH = 256  # features read at once
_COLUMNS: report.Columns = (
    ("step", "step", "s"),
    ("features", "count", "d"),
    ("seconds", "seconds", ".1f"),
    ("a second", "rate", ".1f"),
    ("peak MiB", "peak_mib", ".0f"),
)


def make_features(path: Path, count: int, size: int, seed: int) -> None:
    """Stores float32 features of different variances, as a network's are."""
    rng = np.random.default_rng(seed)
    deviations = np.geomspace(1, 1e-2, size, dtype=np.float32)
    with open(path, "wb") as file:
        for start in range(0, count, _BATCH):
            shape = (min(_BATCH, count - start), size)
            batch = rng.standard_normal(shape, np.float32) * deviations + 0.5
            batch.tofile(file)


def read_batches(path: Path, size: int) -> Iterator[np.ndarray]:
    """Stored features, a batch at a time."""
    with open(path, "rb") as file:
        while (batch := np.fromfile(file, np.float32, _BATCH * size)).size:
            yield batch.reshape(-1, size)


def write_inception(path: Path) -> None:
    """Random weights of the shapes of Inception's, as a file that can be loaded."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in inception.shapes().items():
        scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        arrays[name] = scale * rng.standard_normal(shape, np.float32)
        if name.endswith(("bn.weight", "running_var")):
            arrays[name] = 1 + np.abs(arrays[name])
    np.savez(path, **arrays)


def whole(folder: Path, count: int) -> Callable[[], Any]:
    """Prepares FID on `count` images of each kind."""
    path = folder / "inception.npz"
    write_inception(path)
    model = recipe_files.load_recipe(*recipe_files.find_recipe("quickstart")).model
    generator = init_generator(jax.random.key(0), model)
    options = MeasureOptions(inception=path, mirror=True, cache=False)
    source, measure = Portraits(count), Measure("fid", count)
    return lambda: measures.take(generator, source, measure, options)


def steps(folder: Path, size: int, some: int) -> dict[str, tuple[int | None, Any]]:
    """What is measured, in order: features of each kind (None: all), and the step."""
    real, fake = folder / "real.bin", folder / "fake.bin"
    stored = [folder / "real.npz", folder / "fake.npz"]

    def statistics(source: Path, target: Path) -> Callable[[], Callable[[], Any]]:
        return lambda: lambda: statistics_of(read_batches(source, size)).save(target)

    def distance() -> Callable[[], Any]:
        both = [load_statistics(path) for path in stored]
        return lambda: frechet_distance(*both)

    def of_arrays(compute: Callable[..., Any], count: int = -1) -> Any:
        def prepare() -> Callable[[], Any]:
            numbers = count * size if count > 0 else -1
            both = [np.fromfile(path, np.float32, numbers) for path in (real, fake)]
            return lambda: compute(*(x.reshape(-1, size) for x in both))

        return prepare

    return {
        "statistics": (None, statistics(real, stored[0])),
        "statistics again": (None, statistics(fake, stored[1])),
        "Frechet distance": (None, distance),
        "kernel distance": (None, of_arrays(kernel_distance)),
        "precision, recall": (some, of_arrays(precision_recall, some)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints one step after the other."""
    parser = argparse.ArgumentParser(description="Mathematics of the feature metrics.")
    add = parser.add_argument
    add("--count", type=int, default=50_000, help="features, real and fake each")
    add("--size", type=int, default=2048, help="numbers in each")
    add("--some", type=int, default=10_000, help="features for precision and recall")
    add("--whole", type=int, help="only a whole FID, of this many images of each kind")
    add("--json", type=Path, metavar="PATH", help="also write the results here")
    for name in ("--step", "--folder", "--started"):
        add(name, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    some = min(args.some, args.count)
    if args.step:
        folder = Path(args.folder)
        prepare = (
            (lambda: whole(folder, args.whole))
            if args.whole
            else steps(folder, args.size, some)[args.step][1]
        )
        processes.measure(prepare, float(args.started))
        return
    names = ("count", "size", "some", *(["whole"] if args.whole else []))
    options = [f"--{key}={getattr(args, key)}" for key in names]
    machine = report.machine() | {"cores": os.cpu_count(), "numpy": np.__version__}
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    width = 18
    print("  ".join(heading.rjust(width) for heading, _, _ in _COLUMNS), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        counts = {f"fid{args.whole}": args.whole}
        if not args.whole:
            for seed, name in enumerate(("real.bin", "fake.bin")):
                make_features(Path(folder) / name, args.count, args.size, seed)
            counts = {
                name: count or args.count
                for name, (count, _) in steps(Path(folder), args.size, some).items()
            }
        for name, count in counts.items():
            words = [*options, "--step", name, "--folder", folder]
            row = {"step": name, "count": count}
            row |= processes.run("benchmarks.metrics", words)
            row["rate"] = 2 * count / row["seconds"]  # real and fake
            rows.append(row)
            cells = [format(row[key], form).rjust(width) for _, key, form in _COLUMNS]
            print("  ".join(cells), flush=True)
    if args.json:
        result = {"machine": machine, "options": options, "rows": rows}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
