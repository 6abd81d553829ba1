"""Finds directions of a network: `python -m stylegan_jax.directions RUN --outdir DIR`.

InterFaceGAN's protocol (sample, classify, separate), closed-form factorisation (SeFa),
principal components (GANSpace), or the mean change of pairs of photographs. Writes
`directions.safetensors`, the rescoring table as Markdown and JSON, and a picture.
--file measures and draws existing directions.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from stylegan_jax import loading
from stylegan_jax.classifiers.attribute_classifiers import classifiers_for
from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.commands import cli, known_data
from stylegan_jax.commands.flag_groups import (
    Cutoff,
    OfNetwork,
    layers_of,
    require_at_least,
)
from stylegan_jax.commands.known_data import KnownData
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import unwrapped
from stylegan_jax.editing import components, rescoring, rows
from stylegan_jax.editing.attributes import (
    Boundary,
    Conditional,
    Fit,
    attribute_directions,
)
from stylegan_jax.editing.components import with_stds
from stylegan_jax.editing.direction_files import load_directions, save_directions
from stylegan_jax.editing.directions import Direction, Space
from stylegan_jax.editing.pairs import pair_direction
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import results
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.outputs import Outputs, files_named_in
from stylegan_jax.metrics.draws import LabelDistribution, labels_for
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import one_hot
from stylegan_jax.ops.latents import latents_of_seed

_STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of the picture, standard deviations


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectionsArgs(OfNetwork):
    """Finds directions, says what each of them changes, and draws it."""

    method: Literal["interfacegan", "sefa", "ganspace"] = "interfacegan"
    # Measure and draw these directions instead: a .safetensors of this command, a .npy
    # boundary, or a folder of those.
    file: Path | None = None
    # Or take the mean change between two folders of codes of stylegan_jax.invert, with
    # equal file names: without and with the attribute.
    pairs: tuple[Path, Path] | None = None
    name: str | None = None  # of the attribute of --pairs, such as smile
    # Which to look for and to measure, with commas; all that the data has by default.
    attributes: str = ""
    # Of the attributes: read, or trained on the data and written if it is not there.
    classifiers: Path | None = None
    # Where directions act: coarse, middle, fine, style, all, or numbers such as 0-3,7;
    # sefa: also whose.
    layers: str = "all"
    # Latents of the directions, for interfacegan; with --file, of .npy files whose name
    # does not say it.
    space: Space | None = None
    samples: int = 20_000  # to learn from (interfacegan), to take moments of (ganspace)
    extremes: float = 0.02  # samples taken from the top and the bottom: share or number
    fit: Fit = "svm"  # regression: the slope over all samples, not only the extremes
    # How each attribute's direction leaves the others alone: orthogonal to them, or the
    # likeliest way, which is the shortest in standard deviations of the samples.
    conditional: Conditional = "orthogonal"
    # Then correct the directions by what moving this many samples does; 0: do not.
    correct: int = 0
    number: int = 10  # of directions, for sefa and ganspace
    amount: float = 2.0  # the table: how far up, in standard deviations of the latents
    measured: int = 1000  # samples that the table is of; 0 for no table
    people: int = 2  # in the picture
    psi: float = 0.7  # truncation in the picture
    cutoff: Cutoff = 8  # layers that are truncated; none: all of them
    # The class drawn in the picture, from 0, of a conditional network.
    class_index: Annotated[int, tyro.conf.arg(name="class")] = 0
    data: DataConfig = DataConfig()  # whose labels are attributes; a run's own
    seed: int = 0  # of everything random
    batch_size: int = 64  # images under way at once


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    prog = "python -m stylegan_jax.directions"
    args, data = known_data.parse(DirectionsArgs, argv, prog=prog)
    require_at_least(
        args, samples=2, measured=0, correct=0, people=1, batch_size=1, cutoff=0
    )
    if args.pairs is not None and args.file is not None:
        raise UserError("--pairs and --file both say which directions; give one")
    given = "--file" if args.file is not None else "--pairs"
    if (args.file or args.pairs) and args.method != "interfacegan":
        raise UserError(f"--method {args.method} finds directions, {given} has them")
    if args.pairs is not None and args.space == "z":
        raise UserError("--space z is not of --pairs, whose codes are in w")
    if args.pairs is None and args.name is not None:
        raise UserError("--name is of --pairs; --attributes chooses among others")
    out = Outputs(args.outdir, inputs=files_named_in(args))
    generator = loading.load(args.network)
    if generator.resolution == 1:
        raise UserError(f"{args.network} draws points; directions are of pictures")
    size = generator.config.label_size
    label = one_hot(size, args.class_index or (0 if size else None))
    labels, quiet = _labels(generator, data), not sys.stderr.isatty()
    shared: dict[str, Any] = {"labels": labels, "quiet": quiet}
    moments: dict[str, Any] = shared | {"seed": args.seed}
    layers = _layers(args.layers, generator.config.num_ws)

    def measure(count: int, seed: int) -> rescoring.Rescoring:
        amounts = [args.amount * (direction.std or 1.0) for direction in directions]
        return rescoring.rescore(
            generator,
            classifiers,
            directions,
            amounts,
            count=count,
            seed=seed,
            batch_size=args.batch_size,
            **shared,
        )

    # What needs no classifiers comes first: mistakes are told before long work.
    directions: list[Direction] = []
    boundaries: list[Boundary] = []
    if args.pairs is not None:
        directions = [_of_pairs(generator, args, args.pairs, layers)]
    elif args.file is not None:
        directions = _named_apart(load_directions(args.file, space=args.space))
        rescoring.moves(generator, directions, [1.0] * len(directions))  # if they fit
    elif args.method == "sefa":
        directions = components.sefa_directions(generator, args.number, layers)
    elif args.method == "ganspace":
        statistics = components.statistics_of_w(generator, args.samples, **moments)
        directions = components.principal_directions(statistics, args.number)
    classifiers = _classifiers(generator, args, data, quiet=quiet)
    if not directions:
        origin = f"InterFaceGAN ({args.fit}) of {args.network}, {args.samples} samples"
        boundaries, directions = attribute_directions(
            generator,
            classifiers,
            args.samples,
            space=args.space or "w",
            extremes=args.extremes,
            fit=args.fit,
            conditional=args.conditional,
            batch_size=args.batch_size,
            provenance=origin,
            **moments,
        )
    for plane in boundaries:
        print(
            f"plane of {plane.direction.name}: {plane.validation_accuracy:.1%} right "
            f"of extremes held out, {plane.rest_accuracy:.1%} of the rest",
            flush=True,
        )
    if layers is not None:
        directions = [dataclasses.replace(d, layers=layers) for d in directions]
    directions = with_stds(generator, directions, args.samples, **moments)
    if args.correct and classifiers:
        # A seed apart from that of the table, which judges the result.
        table = measure(args.correct, args.seed + 2)
        directions = rescoring.correct(directions, table, generator.config.num_ws)
        directions = with_stds(generator, directions, args.samples, **moments)
    if args.file is None or args.correct:
        save_directions(out.path("directions.safetensors"), directions)
    if args.measured and classifiers:
        # Other people than those who were learnt from.
        table = measure(args.measured, args.seed + 1)
        record = _record(args, table, classifiers, boundaries)
        text, mark = table.to_markdown(), "\n<!-- stylegan_jax.directions -->\n"
        atomic_write(out.path("table.md"), text + mark)
        atomic_write(out.path("table.json"), json.dumps(record, indent=2) + "\n")
        print(text, end="", flush=True)
    seeds = range(args.seed, args.seed + args.people)
    z = np.concatenate([latents_of_seed(x, generator.config.z_dim) for x in seeds])
    how: dict[str, Any] = {
        "labels": label,
        "psi": args.psi,
        "cutoff": layers_of(args.cutoff),
    }
    picture = rescoring.draw_rows(generator, directions, _STEPS, z, **how)
    out.write_png("directions.png", picture, "sheet")
    print(f"{len(directions)} directions in {args.outdir}")


def _of_pairs(
    generator: Generator,
    args: DirectionsArgs,
    folders: tuple[Path, Path],
    layers: tuple[int, ...] | None,
) -> Direction:
    """The direction of --pairs, and a line about them."""
    if args.name is None:
        raise UserError("--pairs needs the --name of the attribute, such as smile")
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--pairs {folder}: there is no such folder")
        if folder.resolve() == args.outdir.resolve():
            raise UserError(
                f"--outdir {folder} has the codes of --pairs; give another --outdir"
            )
    without, having = (results.code_files(folder) for folder in folders)
    names = [path.name for path in without]
    alone = sorted({*names} ^ {path.name for path in having})
    if alone:
        named = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
        raise UserError(
            f"--pairs: in one of the folders only: {named}; photographs of a pair must "
            "have the same name in both"
        )
    codes = [
        np.concatenate([results.load_code(path, generator).code.ws for path in files])
        for files in (without, having)
    ]
    found = pair_direction(
        *codes,
        name=args.name,
        layers=layers,
        provenance=f"mean change of {len(names)} pairs of codes of {args.network}",
    )
    print(
        f"{args.name}: {found.agreement:.0%} of {len(names)} pairs go along the mean "
        "of the others (50% if they had nothing in common)",
        flush=True,
    )
    return found.direction


def _named_apart(directions: Sequence[Direction]) -> list[Direction]:
    """The directions, equal names distinguished by their provenance."""
    names = [direction.name for direction in directions]
    return [
        dataclasses.replace(d, name=f"{d.name} ({d.provenance})")
        if names.count(d.name) > 1
        else d
        for d in directions
    ]


def _labels(generator: Generator, data: KnownData) -> LabelDistribution | None:
    """The data's class distribution; uniform where unknown."""
    size = generator.config.label_size
    if size and data.config is None:
        print(f"{data.owner}: its data is not known; all classes count equally")
        return LabelDistribution.even(size)
    return labels_for(generator, data.source) if size else None


def _layers(text: str, num_layers: int) -> tuple[int, ...] | None:
    """As `parse_rows`; all is None, because z has no layers."""
    if text == "all":
        return None
    try:
        return rows.parse_rows(text, num_layers)
    except UserError as error:
        raise UserError(f"--layers {text}: {error}") from error


def _classifiers(
    generator: Generator, args: DirectionsArgs, data: KnownData, *, quiet: bool
) -> dict[str, Classifier]:
    needed = not args.file and not args.pairs and args.method == "interfacegan"
    if not needed and not args.measured and not args.correct:
        return {}
    given = args.classifiers is not None and args.classifiers.exists()
    if not needed and not given:
        if data.config is None:
            print(f"no table: the data of {data.owner} is not known", flush=True)
            return {}
        inner, _ = unwrapped(data.source, [])
        if not isinstance(inner, Portraits) and not data.source.label_size:
            print(f"no table: {data.source.name} is without labels", flush=True)
            return {}
    source = None if given and data.config is None else data.source
    names = [name.strip() for name in args.attributes.split(",")]
    found = classifiers_for(
        source,
        generator.resolution,
        file=args.classifiers,
        names=names if args.attributes else None,
        seed=args.seed,
        quiet=quiet,
    )
    of = args.classifiers if given or source is None else source.name
    for name, classifier in found.items():
        right = f"{classifier.accuracy:.1%} right"
        print(f"classifier of {name}, of {of}: {right}", flush=True)
    return found


def _record(
    args: DirectionsArgs,
    table: rescoring.Rescoring,
    classifiers: Mapping[str, Classifier],
    boundaries: Sequence[Boundary],
) -> dict[str, Any]:
    """The table as JSON, and how well its classifiers and planes do."""
    return {
        "made_by": "stylegan_jax.directions",
        **table.to_json(),
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
            for boundary in boundaries
        ],
    }
