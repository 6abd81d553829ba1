"""Looks for directions: the flags of `stylegan_jax.directions`, and what they start."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stylegan_jax.classifiers.attribute_classifiers import classifiers_for
from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.commands.flag_groups import Cutoff, OfNetwork
from stylegan_jax.commands.known_data import KnownData
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import Converted, Source
from stylegan_jax.editing.attributes import (
    Boundary,
    Fit,
    attribute_boundaries,
    condition_on_each_other,
)
from stylegan_jax.editing.direction_files import load_directions
from stylegan_jax.editing.directions import Direction, Space
from stylegan_jax.editing.ganspace import (
    principal_directions,
    statistics_of_w,
    with_std_of,
)
from stylegan_jax.editing.rescoring import Rescoring, correct, moves, rescore
from stylegan_jax.editing.rows import parse_rows
from stylegan_jax.editing.sefa import sefa_directions
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.draws import LabelDistribution, labels_for
from stylegan_jax.metrics.frechet import Statistics
from stylegan_jax.metrics.separability import sample_for_separability
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectionsArgs(OfNetwork):
    """Finds directions, says what each of them changes, and draws it."""

    method: Literal["interfacegan", "sefa", "ganspace"] = "interfacegan"
    # Measure and draw these directions instead: a .safetensors of this command, a .npy
    # boundary, or a folder of those.
    file: Path | None = None
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
    conditional: Literal["orthogonal", "likely", "none"] = "orthogonal"
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


def find(
    generator: Generator, args: DirectionsArgs, data: KnownData
) -> tuple[list[Direction], list[Boundary], dict[str, Classifier]]:
    """What the flags ask for; `data` is what the network was trained on.

    Returns:
        The directions, each with the standard deviation of samples along it; the
        planes they come from, of InterFaceGAN; and classifiers of the attributes, if
        they are needed and can be had.

    Raises:
        UserError: flags that do not go together or with the network.
    """
    layers = _layers(args.layers, generator.config.num_ws)
    labels = labels_of(generator, data)
    # What needs no classifiers comes first: mistakes are told before long work.
    directions = _without_attributes(generator, layers, args, labels)
    classifiers = _classifiers(generator, args, data)
    found: list[Boundary] = []
    if not directions:
        found, directions = _interfacegan(generator, classifiers, args, labels)
    directions = _with_stds(generator, _with_layers(directions, layers), args, labels)
    if args.correct and classifiers:
        # A seed apart from that of the table, which judges the result.
        table = measure(
            generator,
            classifiers,
            directions,
            args,
            args.correct,
            args.seed + 2,
            labels=labels,
        )
        directions = _with_stds(generator, correct(directions, table), args, labels)
    return directions, found, classifiers


def measure(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    directions: Sequence[Direction],
    args: DirectionsArgs,
    count: int,
    seed: int,
    *,
    labels: LabelDistribution | None = None,
) -> Rescoring:
    """What the directions change in `count` samples, by `args.amount` deviations."""
    return rescore(
        generator,
        classifiers,
        directions,
        [args.amount * (direction.std or 1.0) for direction in directions],
        count=count,
        labels=labels,
        seed=seed,
        batch_size=args.batch_size,
        quiet=_quiet(),
    )


def labels_of(generator: Generator, data: KnownData) -> LabelDistribution | None:
    """Labels for the samples of a conditional network, as often as its data has them.

    Where that is not known all classes are equally likely, which is said.

    Raises:
        UserError: the data has no labels of the network's.
    """
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
        return parse_rows(text, num_layers)
    except UserError as error:
        raise UserError(f"--layers {text}: {error}") from error


def _classifiers(
    generator: Generator, args: DirectionsArgs, data: KnownData
) -> dict[str, Classifier]:
    """Of the attributes; none where nothing needs them or they cannot be had."""
    needed = not args.file and args.method == "interfacegan"
    if not needed and not args.measured and not args.correct:
        return {}
    given = args.classifiers is not None and args.classifiers.exists()
    if not needed and not given:
        if data.config is None:
            print(f"no table: the data of {data.owner} is not known", flush=True)
            return {}
        if not _is_labelled(data.source):
            print(f"no table: {data.source.name} is without labels", flush=True)
            return {}
    source = None if given and data.config is None else data.source
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
        of = args.classifiers if given or source is None else source.name
        print(f"classifier of {name}, of {of}: {right}", flush=True)
    return found


def _is_labelled(source: Source) -> bool:
    while isinstance(source, Converted):
        source = source.source
    return isinstance(source, Portraits) or source.label_size > 0


def _without_attributes(
    generator: Generator,
    layers: tuple[int, ...] | None,
    args: DirectionsArgs,
    labels: LabelDistribution | None,
) -> list[Direction]:
    """Those of --file, SeFa's or GANSpace's; none for InterFaceGAN."""
    if args.file is not None:
        return _of_file(generator, args.file, args.space)
    if args.method == "sefa":
        return sefa_directions(generator, args.number, layers)
    if args.method == "ganspace":
        return principal_directions(_statistics(generator, args, labels), args.number)
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


def _interfacegan(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    args: DirectionsArgs,
    labels: LabelDistribution | None,
) -> tuple[list[Boundary], list[Direction]]:
    space = args.space or "w"
    samples = sample_for_separability(
        generator,
        classifiers,
        args.samples,
        args.seed,
        labels=labels,
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
    generator: Generator,
    directions: Sequence[Direction],
    args: DirectionsArgs,
    labels: LabelDistribution | None,
) -> list[Direction]:
    """The directions with the standard deviation of samples along each."""
    if all(direction.std for direction in directions):
        return list(directions)
    statistics = _statistics(generator, args, labels)
    return [
        direction if direction.std else with_std_of(direction, statistics)
        for direction in directions
    ]


def _statistics(
    generator: Generator, args: DirectionsArgs, labels: LabelDistribution | None
) -> Statistics:
    return statistics_of_w(
        generator, args.samples, labels=labels, seed=args.seed, quiet=_quiet()
    )


def _quiet() -> bool:
    return not sys.stderr.isatty()
