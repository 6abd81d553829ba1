"""Mode coverage through a run: `python -m stylegan_jax.coverage RUN`.

Counts the data's modes in samples of the initial generator and of the retained
checkpoints; writes `coverage.json` and panels, `coverage.png`, into the run. Modes of
images are the classes of a small classifier that is trained first.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from stylegan_jax import loading
from stylegan_jax.classifiers.classifier import train_classifier
from stylegan_jax.commands import cli
from stylegan_jax.data.sources import Points, Source, open_source, spread, unwrapped
from stylegan_jax.errors import UserError
from stylegan_jax.figures import points
from stylegan_jax.io import images, outputs, plots
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.metrics import modes
from stylegan_jax.metrics.draws import labels_for
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runs.run_directory import data_config, model_config
from stylegan_jax.training import sample_grids

Measure = Callable[[np.ndarray], modes.Coverage]

_CHUNK = 500  # samples drawn at once
_SHOWN = 36  # images in a panel
_TRAINED_ON = 20_000  # images for the classifier, at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoverageArgs:
    """Counts the modes of the data that a run has found, and draws its progress."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    samples: int = 10_000  # drawn from each generator
    seed: int = 0  # of the samples
    panels: int = 6  # generators shown, evenly from the start to the end
    # Class labels of the images, as for --data.labels in training, where the run had
    # none. Not needed for points.
    labels: str | None = None


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(CoverageArgs, argv, prog="python -m stylegan_jax.coverage")
    if args.samples < _SHOWN or args.panels < 2:
        raise UserError(
            f"--samples {args.samples} must be at least {_SHOWN} and --panels "
            f"{args.panels} at least 2"
        )
    model = model_config(args.run)
    source = open_data(args.run, args.labels)
    measure, reals = make_measure(source, model)
    shown: list[np.ndarray] = []
    titles: list[str] = []
    records: list[dict[str, Any]] = []

    def add(title: str, nimg: int | None, samples: np.ndarray) -> None:
        found = measure(samples)
        print(f"{title:<14} {found}")
        records.append({"nimg": nimg, **found._asdict()})
        titles.append(title)
        shown.append(samples if samples.ndim == 2 else samples[:_SHOWN])

    steps = points.kept(args.run, args.panels)
    for nimg, path in [(0, None), *steps]:
        generator = loading.load(path) if path else points.untrained(args.run)[0]
        samples = draw(generator, source, args.samples, args.seed)
        add(points.step_of(args.run, nimg), nimg, samples)
    add("data", None, reals)
    span = sample_grids.span_of(reals) if reals.ndim == 2 else (-1.0, 1.0)
    picture = plots.panels(list(zip(titles, shown, strict=True)), span=span)
    outputs.write_png(args.run / "coverage.png", picture, "sheet")
    atomic_write(args.run / "coverage.json", json.dumps(records, indent=1) + "\n")
    print(f"panels: {args.run / 'coverage.png'}")


def open_data(run: Path, labels: str | None) -> Source:
    """The run's data, with labels for images."""
    config = data_config(run)
    if labels is not None:
        config = dataclasses.replace(config, labels=labels)
    source = open_source(config)
    inner, _ = unwrapped(source, [])
    if isinstance(inner, Points):
        return inner
    if not source.label_size:
        raise UserError(
            f"{source.name} was used without labels, and modes of images are their "
            "classes: give --labels, as for --data.labels in training"
        )
    return source


def make_measure(source: Source, model: ModelConfig) -> tuple[Measure, np.ndarray]:
    """The mode counter, and samples of the data for comparison."""
    if isinstance(source, Points):
        centers, std = source.centers, source.std
        points = sample_grids.first_points(source)
        return lambda points: modes.coverage_of_points(points, centers, std), points
    chosen = spread(len(source), _TRAINED_ON).tolist()
    reals = np.stack([source.image(i, model.resolution) for i in chosen])
    labels = np.stack([source.label(i) for i in chosen])
    shares = labels.mean(axis=0)
    if not (shares > 0).all():
        raise UserError(
            f"classes {np.flatnonzero(shares == 0).tolist()} of {source.name} have no "
            "image; choose labels that have"
        )
    classifier = train_classifier(reals, labels.argmax(axis=1))
    print(f"classifier: {classifier.accuracy:.2%} right on images held out")

    def measure(samples: np.ndarray) -> modes.Coverage:
        return modes.coverage_of_classes(classifier.probabilities(samples), shares)

    return measure, reals


def draw(generator: Generator, source: Source, count: int, seed: int) -> np.ndarray:
    """Untruncated samples, points `[N, D]` or images uint8 `[N, R, R, C]`.

    Labels follow the data's distribution.
    """
    z = np.random.RandomState(seed).randn(count, generator.config.z_dim)
    known = labels_for(generator, source)
    keys = jax.random.split(jax.random.key(seed), count)
    labels = None if known is None else known.draw(keys)
    run = jax.jit(lambda generator, z, y: generator.sample(z, labels=y, psi=1.0))
    drawn = []
    for i in range(0, count, _CHUNK):
        part = slice(i, i + _CHUNK)
        y = None if labels is None else labels[part]
        drawn.append(np.asarray(run(generator, jnp.float32(z[part]), y)))
    samples = np.concatenate(drawn)
    if samples.shape[1:3] == (1, 1):
        return samples[:, 0, 0]
    # In mid-growth they are smaller; the classifier knows one size.
    factor = generator.config.resolution // generator.resolution
    levels = images.to_uint8(samples)
    return levels.repeat(factor, axis=1).repeat(factor, axis=2)
