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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylegan_jax import loading
from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.commands import cli, known_data
from stylegan_jax.commands.direction_search import (
    DirectionsArgs,
    find,
    labels_of,
    measure,
)
from stylegan_jax.commands.flag_groups import layers_of, require_at_least
from stylegan_jax.commands.known_data import KnownData
from stylegan_jax.editing.attributes import Boundary
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.rescoring import Rescoring, draw_rows
from stylegan_jax.errors import UserError
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.outputs import Outputs, files_named_in
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import latents_of_seed

_STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of the picture, standard deviations


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, data = _parse(argv)
    out = Outputs(args.outdir, inputs=files_named_in(args))
    generator = loading.load(args.network)
    if generator.resolution == 1:
        raise UserError(f"{args.network} draws points; directions are of pictures")
    label = _label(generator, args)
    directions, planes, classifiers = find(generator, args, data)
    if args.file is None or args.correct:
        save_directions(out.path("directions.safetensors"), directions)
    if args.measured and classifiers:
        # Other people than those who were learnt from.
        count, seed = args.measured, args.seed + 1
        labels = labels_of(generator, data)
        table = measure(
            generator, classifiers, directions, args, count, seed, labels=labels
        )
        _write_table(table, classifiers, planes, args, out)
    picture = _draw(generator, directions, label, args)
    out.write_png("directions.png", picture, "sheet")
    print(f"{len(directions)} directions in {args.outdir}")


def _parse(argv: Sequence[str] | None) -> tuple[DirectionsArgs, KnownData]:
    """The flags, and the data of the network."""
    prog = "python -m stylegan_jax.directions"
    args, data = known_data.parse(DirectionsArgs, argv, prog=prog)
    require_at_least(
        args, samples=2, measured=0, correct=0, people=1, batch_size=1, cutoff=0
    )
    return args, data


def _write_table(
    table: Rescoring,
    classifiers: Mapping[str, Classifier],
    found: Sequence[Boundary],
    args: DirectionsArgs,
    out: Outputs,
) -> None:
    record: dict[str, Any] = {
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
            for boundary in found
        ],
    }
    text = table.to_markdown()
    mark = "\n<!-- stylegan_jax.directions -->\n"
    atomic_write(out.path("table.md"), text + mark)
    atomic_write(out.path("table.json"), json.dumps(record, indent=2) + "\n")
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
        cutoff=layers_of(args.cutoff),
    )
