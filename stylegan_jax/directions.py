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

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylegan_jax import cli, loading
from stylegan_jax.common import files, images
from stylegan_jax.common.errors import UserError
from stylegan_jax.editing.attributes import Boundary
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.direction_search import DirectionsArgs, find, measure
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.rescoring import Rescoring
from stylegan_jax.editing.rescoring_tables import draw_rows, to_json, to_markdown
from stylegan_jax.metrics.classifier import Classifier
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import latents_of_seed
from stylegan_jax.training import stored_config

_STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of the picture, standard deviations


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = _parse(sys.argv[1:] if argv is None else list(argv))
    if args.outdir.exists() and not args.outdir.is_dir():
        raise UserError(f"{args.outdir} is a file; --outdir must be a folder")
    generator = loading.load(args.network)
    if generator.resolution == 1:
        raise UserError(f"{args.network} draws points; directions are of pictures")
    labels = _label(generator, args)
    directions, planes, classifiers = find(generator, args)
    if args.file is None or args.correct:
        save_directions(args.outdir / "directions.safetensors", directions)
    if args.measured and classifiers:
        # Other people than those who were learnt from.
        count, seed = args.measured, args.seed + 1
        table = measure(generator, classifiers, directions, args, count, seed)
        _write_table(table, classifiers, planes, args)
    picture = _draw(generator, directions, labels, args)
    images.write_png(args.outdir / "directions.png", picture)
    print(f"{len(directions)} directions in {args.outdir}")


def _parse(words: Sequence[str]) -> DirectionsArgs:
    """The flags; those of the data default to what the run was trained on."""
    entry = cli.with_defaults(DirectionsArgs, stored_config.data_defaults(words))
    args = cli.parse(entry, words, prog="python -m stylegan_jax.directions")
    for name, value, low in [
        ("--samples", args.samples, 2),
        ("--measured", args.measured, 0),
        ("--correct", args.correct, 0),
        ("--people", args.people, 1),
        ("--batch-size", args.batch_size, 1),
        ("--cutoff", 0 if args.cutoff == "none" else args.cutoff, 0),
    ]:
        if value < low:
            raise UserError(f"{name} {value} is below {low}")
    return args


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
    seeds = range(args.seed, args.seed + args.people)
    z = [latents_of_seed(seed, generator.config.z_dim) for seed in seeds]
    return draw_rows(
        generator,
        directions,
        _STEPS,
        np.concatenate(z),
        labels=labels,
        psi=args.psi,
        cutoff=None if args.cutoff == "none" else args.cutoff,
    )


if __name__ == "__main__":
    cli.run_main(main)
