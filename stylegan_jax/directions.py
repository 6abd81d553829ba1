"""Finds directions of a network: `python -m stylegan_jax.directions RUN --outdir DIR`.

    python -m stylegan_jax.directions runs/portraits --outdir directions
    python -m stylegan_jax.directions runs/portraits --method sefa --layers 0-3 \
        --outdir sefa
    python -m stylegan_jax.directions ffhq --file boundaries --outdir rescored

InterFaceGAN's protocol (sample, classify, separate), closed-form factorisation (SeFa),
or principal components (GANSpace). Writes `directions.safetensors`, a table of what
turning each direction up changes, as Markdown and JSON, and a picture. With --file
nothing is looked for: directions that exist are measured and drawn.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from stylegan_jax import cli, loading
from stylegan_jax.common import files, images
from stylegan_jax.common.errors import UserError
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits import Portraits
from stylegan_jax.data.sources import Converted, Source, open_source
from stylegan_jax.editing.attributes import (
    Boundary,
    Fit,
    attribute_boundaries,
    condition_on_each_other,
)
from stylegan_jax.editing.direction_files import load_directions, save_directions
from stylegan_jax.editing.directions import Direction, Space
from stylegan_jax.editing.factorization import sefa_directions
from stylegan_jax.editing.principal import (
    principal_directions,
    statistics_of_w,
    with_std_of,
)
from stylegan_jax.editing.rescoring import Rescoring, correct, moves, rescore
from stylegan_jax.editing.rescoring_tables import draw_rows, to_json, to_markdown
from stylegan_jax.metrics.attribute_classifiers import classifiers_for
from stylegan_jax.metrics.classifier import Classifier
from stylegan_jax.metrics.separability import sample_for_separability
from stylegan_jax.metrics.statistics import Statistics
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training.stored_config import read_config

_STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of the picture, standard deviations


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectionsArgs:
    """Finds directions, says what each of them changes, and draws it."""

    # What `stylegan_jax.sample` takes: a run, a checkpoint, a file, or a name.
    network: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]
    outdir: Path  # folder for what is found; made if need be
    method: Literal["interfacegan", "sefa", "ganspace"] = "interfacegan"
    # Measure and draw these directions instead: a .safetensors of this command, a .npy
    # boundary, or a folder of those.
    file: Path | None = None
    # Which to look for and to measure, with commas; all that the data has by default.
    attributes: str = ""
    # Of the attributes: read, or trained on the data and written if it is not there.
    classifiers: Path | None = None
    layers: str = "all"  # where directions act, such as 0-3 or 0,2-5; sefa: also whose
    # Latents of the directions, for interfacegan; with --file, of .npy files whose name
    # does not say it.
    space: Space | None = None
    samples: int = 20_000  # to learn from (interfacegan), to take moments of (ganspace)
    extremes: float = 0.02  # samples taken from the top and the bottom: share or number
    fit: Fit = "svm"  # regression: the slope over all samples, not only the extremes
    # How each attribute's direction leaves the others alone: orthogonal to them, or the
    # likeliest way, which is the shortest in standard deviations of the samples.
    conditional: Literal["orthogonal", "likely", "none"] = "orthogonal"
    # Then correct the directions by what moving this many samples does; 0: do not.
    correct: int = 0
    number: int = 10  # of directions, for sefa and ganspace
    amount: float = 2.0  # the table: how far up, in standard deviations of the latents
    measured: int = 1000  # samples that the table is of; 0 for no table
    people: int = 2  # in the picture
    psi: float = 0.7  # truncation in the picture
    # The class drawn in the picture, from 0, of a conditional network.
    class_index: Annotated[int, tyro.conf.arg(name="class")] = 0
    data: DataConfig = DataConfig()  # whose labels are attributes; a run's own
    seed: int = 0  # of everything random
    batch_size: int = 64  # images under way at once


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = _parse(sys.argv[1:] if argv is None else list(argv))
    if args.outdir.exists() and not args.outdir.is_dir():
        raise UserError(f"{args.outdir} is a file; --outdir must be a folder")
    generator = loading.load(args.network)
    if generator.resolution == 1:
        raise UserError(f"{args.network} draws points; directions are of pictures")
    layers = parse_layers(args.layers, generator.config.num_ws)
    labels = _label(generator, args)
    # What needs no classifiers comes first: mistakes are told before long work.
    directions = _without_attributes(generator, layers, args)
    classifiers = _classifiers(generator, args)
    found: list[Boundary] = []
    if not directions:
        found, directions = _interfacegan(generator, classifiers, args)
    directions = _with_stds(generator, _with_layers(directions, layers), args)
    if args.correct and classifiers:
        directions = _corrected(generator, classifiers, directions, args)
    if args.file is None or args.correct:
        save_directions(args.outdir / "directions.safetensors", directions)
    if args.measured and classifiers:
        # Other people than those who were learnt from.
        count, seed = args.measured, args.seed + 1
        table = _measure(generator, classifiers, directions, args, count, seed)
        _write_table(table, classifiers, found, args)
    picture = _draw(generator, directions, labels, args)
    images.write_png(args.outdir / "directions.png", picture)
    print(f"{len(directions)} directions in {args.outdir}")


def parse_layers(text: str, num_layers: int) -> tuple[int, ...] | None:
    """Reads `all`, which is None, or layers from 0 such as `0-3` or `0,2-5`.

    Raises:
        UserError: something else, or a layer that the network has not.
    """
    if text == "all":
        return None
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        last = int(match[2] or match[1]) if match else 0
        if not match or last < int(match[1]) or last >= num_layers:
            raise UserError(
                f"--layers {text}: give all, or layers from 0 to {num_layers - 1} such "
                "as 0-3 or 0,2-3"
            )
        found.update(range(int(match[1]), last + 1))
    return tuple(sorted(found))


def _parse(words: list[str]) -> DirectionsArgs:
    """The flags; those of the data default to what the run was trained on."""
    run = next((Path(word) for word in words if not word.startswith("-")), Path())
    entry = DirectionsArgs
    if (run / "config.json").exists():
        field = dataclasses.field(default=DataConfig(**read_config(run)["data"]))
        entry = dataclasses.make_dataclass(
            "DirectionsArgs",
            [("data", DataConfig, field)],
            bases=(DirectionsArgs,),
            frozen=True,
            kw_only=True,
        )
        entry.__doc__ = DirectionsArgs.__doc__
    args = cli.parse(entry, words, prog="python -m stylegan_jax.directions")
    for name, value, low in [
        ("--samples", args.samples, 2),
        ("--measured", args.measured, 0),
        ("--correct", args.correct, 0),
        ("--people", args.people, 1),
        ("--batch-size", args.batch_size, 1),
    ]:
        if value < low:
            raise UserError(f"{name} {value} is below {low}")
    return args


def _quiet() -> bool:
    return not sys.stderr.isatty()


def _classifiers(generator: Generator, args: DirectionsArgs) -> dict[str, Classifier]:
    """Of the attributes; none where nothing needs them or they cannot be had."""
    needed = not args.file and args.method == "interfacegan"
    if not needed and not args.measured and not args.correct:
        return {}
    source = open_source(args.data)
    given = args.classifiers is not None and args.classifiers.exists()
    if not needed and not given and not _is_labelled(source):
        print(f"no table: {source.name} is without labels", flush=True)
        return {}
    found = classifiers_for(
        source,
        generator.resolution,
        file=args.classifiers,
        names=[name.strip() for name in args.attributes.split(",")]
        if args.attributes
        else None,
        seed=args.seed,
        quiet=_quiet(),
    )
    for name, classifier in found.items():
        right = f"{classifier.accuracy:.1%} right"
        print(f"classifier of {name}, of {source.name}: {right}", flush=True)
    return found


def _is_labelled(source: Source) -> bool:
    while isinstance(source, Converted):
        source = source.source
    return isinstance(source, Portraits) or source.label_size > 0


def _interfacegan(
    generator: Generator, classifiers: Mapping[str, Classifier], args: DirectionsArgs
) -> tuple[list[Boundary], list[Direction]]:
    space = args.space or "w"
    samples = sample_for_separability(
        generator,
        classifiers,
        args.samples,
        args.seed,
        batch_size=args.batch_size,
        quiet=_quiet(),
    )
    said = f"InterFaceGAN ({args.fit}) of {args.network}, {args.samples} samples"
    found = attribute_boundaries(
        samples,
        space=space,
        extremes=args.extremes,
        fit=args.fit,
        seed=args.seed,
        provenance=said,
    )
    for boundary in found:
        print(
            f"plane of {boundary.direction.name}: {boundary.validation_accuracy:.1%} "
            f"right of extremes held out, {boundary.rest_accuracy:.1%} of the rest",
            flush=True,
        )
    directions = [boundary.direction for boundary in found]
    if args.conditional != "none":
        latents = samples.w if space == "w" else samples.z
        metric = "samples" if args.conditional == "likely" else "euclidean"
        directions = condition_on_each_other(directions, latents, metric=metric)
    return found, directions


def _corrected(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    directions: Sequence[Direction],
    args: DirectionsArgs,
) -> list[Direction]:
    # A seed apart from that of the table, which judges the result.
    table = _measure(
        generator, classifiers, directions, args, args.correct, args.seed + 2
    )
    return _with_stds(generator, correct(directions, table), args)


def _without_attributes(
    generator: Generator, layers: tuple[int, ...] | None, args: DirectionsArgs
) -> list[Direction]:
    """Those of --file, SeFa's or GANSpace's; none for InterFaceGAN."""
    if args.file is not None:
        return _of_file(generator, args.file, args.space)
    if args.method == "sefa":
        return sefa_directions(generator, args.number, layers)
    if args.method == "ganspace":
        return principal_directions(_statistics(generator, args), args.number)
    return []


def _of_file(generator: Generator, file: Path, space: Space | None) -> list[Direction]:
    """The directions of a file or folder, each with a name of its own."""
    directions = load_directions(file, space=space)
    moves(generator, directions, [1.0] * len(directions))  # raises if one does not fit
    names = [direction.name for direction in directions]
    # Public folders have an attribute of several networks and spaces.
    return [
        dataclasses.replace(d, name=f"{d.name} ({d.provenance})")
        if names.count(d.name) > 1
        else d
        for d in directions
    ]


def _with_layers(
    directions: Sequence[Direction], layers: tuple[int, ...] | None
) -> list[Direction]:
    if layers is None:
        return list(directions)
    in_z = [direction.name for direction in directions if direction.space == "z"]
    if in_z:
        raise UserError(f"--layers: direction {in_z[0]!r} is in z, which has no layers")
    return [dataclasses.replace(d, layers=layers) for d in directions]


def _with_stds(
    generator: Generator, directions: Sequence[Direction], args: DirectionsArgs
) -> list[Direction]:
    """The directions with the standard deviation of samples along each."""
    if all(direction.std for direction in directions):
        return list(directions)
    statistics = _statistics(generator, args)
    return [
        direction if direction.std else with_std_of(direction, statistics)
        for direction in directions
    ]


def _statistics(generator: Generator, args: DirectionsArgs) -> Statistics:
    return statistics_of_w(generator, args.samples, seed=args.seed, quiet=_quiet())


def _measure(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    directions: Sequence[Direction],
    args: DirectionsArgs,
    count: int,
    seed: int,
) -> Rescoring:
    return rescore(
        generator,
        classifiers,
        directions,
        [args.amount * (direction.std or 1.0) for direction in directions],
        count=count,
        seed=seed,
        batch_size=args.batch_size,
        quiet=_quiet(),
    )


def _write_table(
    table: Rescoring,
    classifiers: Mapping[str, Classifier],
    found: Sequence[Boundary],
    args: DirectionsArgs,
) -> None:
    record: dict[str, Any] = {
        **to_json(table),
        "network": str(args.network),
        "amount_in_stds": args.amount,
        "classifier_accuracy": {n: c.accuracy for n, c in classifiers.items()},
        "planes": [
            {
                "name": boundary.direction.name,
                "validation_accuracy": boundary.validation_accuracy,
                "rest_accuracy": boundary.rest_accuracy,
                "fitted_to": boundary.num_train,
            }
            for boundary in found
        ],
    }
    text = to_markdown(table)
    files.atomic_write(args.outdir / "table.md", text)
    files.atomic_write(args.outdir / "table.json", json.dumps(record, indent=2) + "\n")
    print(text, end="", flush=True)


def _label(generator: Generator, args: DirectionsArgs) -> np.ndarray | None:
    size = generator.config.label_size
    if not 0 <= args.class_index < max(size, 1):
        raise UserError(
            f"--class {args.class_index}: this network has {size} classes, from 0"
        )
    return np.eye(1, size, args.class_index, np.float32) if size else None


def _draw(
    generator: Generator,
    directions: Sequence[Direction],
    labels: np.ndarray | None,
    args: DirectionsArgs,
) -> np.ndarray:
    # The latents of seeds, as `stylegan_jax.sample` has them.
    seeds = range(args.seed, args.seed + args.people)
    z = [np.random.RandomState(s).randn(1, generator.config.z_dim) for s in seeds]
    return draw_rows(
        generator, directions, _STEPS, np.concatenate(z), labels=labels, psi=args.psi
    )


if __name__ == "__main__":
    cli.run_main(main)
