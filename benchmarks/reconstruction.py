"""Ways to invert images: how near they come, and whether edits of the result work.

    python -m benchmarks.reconstruction portraits heldout faces --classifiers FILE

Every folder of images is inverted in each way, by pixels alone. `own` is the change of
an attribute's logit by its direction, two standard deviations up, `others` the mean of
what the other logits change, without sign, both in standard deviations of the samples'
logits and over all directions; samples of the network come first. `features` is the
squared difference of the included perceptual network's features, 0 to 6, `like` the
cosine similarity of the classifier's features of image and reconstruction, `like,
edited` of the reconstruction and the edited picture.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from stylegan_jax import loading
from stylegan_jax.classifiers import classifier_file, own
from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.editing import rescoring
from stylegan_jax.editing.direction_files import directions_of
from stylegan_jax.editing.directions import Direction
from stylegan_jax.features import included
from stylegan_jax.inversion import encoder as encoders
from stylegan_jax.inversion import photos, recipes, terms
from stylegan_jax.inversion.code import Code, draw
from stylegan_jax.inversion.encoder import Encoder
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import Recipe, Stage, Weights
from stylegan_jax.inversion.results import Inversion
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.io import grids, images
from stylegan_jax.metrics.reconstruction import report
from stylegan_jax.networks.generator import Generator

_AMOUNT = 2.0  # of an edit, in standard deviations
_HEADINGS = (
    "images",
    "way",
    "PSNR",
    "SSIM",
    "features",
    "like",
    "own",
    "others",
    "like, edited",
)
_PIXELS = Weights(perceptual=0.0)


class Way(NamedTuple):
    """The result of one way to invert, of N images."""

    codes: list[Code]
    networks: list[Generator]
    pictures: np.ndarray  # uint8 [N, R, R, C]


def stages(resolution: int, steps: int) -> Recipe:
    """From the encoder on: its estimate, 100 iterations, `steps`, then noise."""
    (estimate,) = recipes.recipe("instant", resolution).stages
    adam = Plan(steps=steps)
    noise = Optimizer(learning_rate=recipes.noise_rate(resolution))
    return Recipe(
        stages=(
            dataclasses.replace(estimate, name="encoder"),
            *recipes.with_steps(recipes.recipe("instant", resolution), 100).stages,
            Stage(name="w+", moves="latent", weights=_PIXELS, plan=adam),
            Stage(
                name="noise",
                moves="noise",
                weights=_PIXELS,
                plan=Plan(steps=steps, optimizer=noise),
            ),
        ),
        starts=("encoder",),
        noise="stored",
    )


def ways(
    generator: Generator, targets: np.ndarray, encoder: Encoder, steps: int
) -> Iterator[tuple[str, Way]]:
    """Inverts the images in one way after the other."""
    size, count = generator.resolution, len(targets)

    def run(recipe: Recipe) -> list[Inversion]:
        given: Any = {"encoder": encoder, "batch_size": count}
        progress = invert(generator, [*targets], recipe, **given)
        return [one for step in progress for one in step.finished]

    def way(found: list[Inversion], stage: int) -> Way:
        parts = [one.stages[stage] for one in found]
        tuned = stage == len(found[0].stages) - 1
        return Way(
            [part.code for part in parts],
            [one.network if tuned and one.network else generator for one in found],
            np.stack([part.picture for part in parts]),
        )

    one = Stage(name="w+", moves="latent", weights=_PIXELS, plan=Plan(steps=steps))
    for start in ("mean", "regressed"):
        found = run(Recipe(stages=(one,), starts=(start,), noise="stored"))
        yield f"{start} + {steps}", way(found, 0)
    found = run(stages(size, steps))
    names = [
        "encoder",
        "encoder + 100",
        f"encoder + 100 + {steps}",
        f"{steps} of noise",
    ]
    for stage, name in enumerate(names):
        yield name, way(found, stage)
    tuning = recipes.with_perceptual(recipes.recipe("pivotal", size), "none")
    tuning = dataclasses.replace(tuning, starts=("encoder",))
    found = run(recipes.with_steps(tuning, 100))
    yield "one w, encoder + 100", way(found, 0)
    yield "pivotal tuning of it", way(found, 1)


def edited(way: Way, step: np.ndarray) -> Iterator[jnp.ndarray]:
    """Images of the codes moved by a step `[L, w_dim]`, `[1, R, R, C]` each."""
    for code, network in zip(way.codes, way.networks, strict=True):
        yield draw(network, Code(jnp.asarray(code.ws) + step[None], code.noise))


def perceptual(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance `[N]` of uint8 images in the included network's features, 0 to 6."""
    x, y = (jnp.asarray(images.from_uint8(side)) for side in (a, b))
    term = terms.included_term(x, included.load(), weight=1.0)
    return np.asarray(term.distance(term, y))


def scores(
    way: Way,
    targets: np.ndarray,
    directions: Sequence[Direction],
    classifiers: Mapping[str, Classifier],
    stds: np.ndarray,
    like: Any,
) -> dict[str, float]:
    """The row of a way, without its names."""
    found = report(targets, way.pictures, identity=like)
    amounts = [_AMOUNT * (direction.std or 1.0) for direction in directions]
    _, steps = rescoring.moves(way.networks[0], directions, amounts)
    drawn = [jnp.concatenate([*edited(way, step)]) for step in steps]
    logits = np.stack(
        [[c.logit(x) for c in classifiers.values()] for x in drawn]
    )  # [1 + K, A, N]
    changes = ((logits[1:] - logits[:1]) / stds[None, :, None]).mean(2)
    of = [list(classifiers).index(direction.name) for direction in directions]
    mine = changes[np.arange(len(of)), of]
    others = np.abs(changes).sum(1) - np.abs(mine)
    before = images.to_uint8(np.asarray(drawn[0]))
    kept = [
        report(before, images.to_uint8(np.asarray(x)), identity=like)["identity"]
        for x in drawn[1:]
    ]
    return {
        "PSNR": float(found["psnr"].mean()),
        "SSIM": float(found["ssim_gaussian"].mean()),
        "features": float(perceptual(targets, way.pictures).mean()),
        "like": float(found["identity"].mean()),
        "own": float(mine.mean()),
        "others": float((others / (len(classifiers) - 1)).mean()),
        "like, edited": float(np.mean(kept)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints one row after the other."""
    parser = argparse.ArgumentParser(description="Ways to invert images.")
    add = parser.add_argument
    add("network")
    add("folders", nargs="+", type=Path, help="of images of faces as the network's")
    add("--classifiers", type=Path, required=True, help="of the network's attributes")
    add("--encoder", type=Path, help="by default what lies beside the network")
    add("--count", type=int, default=8, help="images of each folder")
    add("--steps", type=int, default=1000)
    add("--samples", type=int, default=500, help="that edits are compared with")
    add("--edit", default="smile", help="direction that is drawn")
    add("--json", type=Path, metavar="PATH", help="also write the results here")
    add("--picture", type=Path, metavar="PATH", help="also draw reconstructions")
    args = parser.parse_args(argv)
    generator = loading.load(args.network)
    path = args.encoder or loading.beside(args.network, "encoder")
    if path is None:
        parser.error(f"no encoder lies beside {args.network}; --encoder FILE")
    encoder, like = encoders.load(path), own.load(args.classifiers)
    classifiers = classifier_file.load(args.classifiers)
    directions = [
        direction
        for direction in directions_of(args.network).values()
        if direction.name in classifiers
    ]
    names_of = [direction.name for direction in directions]
    if args.edit not in names_of:
        parser.error(f"--edit {args.edit}: directions are {', '.join(names_of)}")
    amounts = [_AMOUNT * (direction.std or 1.0) for direction in directions]
    table = rescoring.rescore(
        generator, classifiers, directions, amounts, count=args.samples
    )
    of = [list(classifiers).index(direction.name) for direction in directions]
    mine = table.changes[np.arange(len(of)), of]
    others = np.abs(table.changes).sum(1) - np.abs(mine)
    others = others / (len(classifiers) - 1)
    print("| " + " | ".join(_HEADINGS) + " |\n" + "|---" * len(_HEADINGS) + "|")
    print(
        f"| samples | | | | | | {mine.mean():.2f} | {others.mean():.2f} | |", flush=True
    )
    rows: list[dict[str, Any]] = []
    shown: list[np.ndarray] = []
    names: list[str] = []
    place = names_of.index(args.edit)
    for folder in args.folders:
        channels = generator.config.num_channels
        paths = photos.listed([folder])[: args.count]
        read, _ = photos.read(paths, generator.resolution, channels, aligned=False)
        targets = np.stack([photo.pixels for photo in read])
        columns: list[np.ndarray] = [targets[0]]
        for name, way in ways(generator, targets, encoder, args.steps):
            row = scores(way, targets, directions, classifiers, table.stds, like)
            rows.append({"images": folder.name, "way": name, **row})
            cells = [f"{row[key]:.2f}" for key in _HEADINGS[2:]]
            print("| " + " | ".join([folder.name, name, *cells]) + " |", flush=True)
            _, steps = rescoring.moves(generator, directions, amounts)
            moved = next(edited(way, steps[1 + place]))[0]
            columns += [way.pictures[0], images.to_uint8(np.asarray(moved))]
            names = [*names, name] if name not in names else names
        shown += [columns[0], *columns[1::2], np.full_like(columns[0], 255)]
        shown += columns[2::2]
        if args.json:
            args.json.write_text(json.dumps(rows, indent=2) + "\n")
    if args.picture:
        labels = [x for folder in args.folders for x in (folder.name, args.edit)]
        heads = ["image", *names]
        how: Any = {"row_labels": labels, "column_labels": heads, "at_least": 96}
        images.write_png(args.picture, grids.labelled(shown, len(heads), **how))


if __name__ == "__main__":
    main()
