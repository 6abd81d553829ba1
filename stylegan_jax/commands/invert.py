"""Inverts images: `python -m stylegan_jax.invert IMAGES --network RUN --outdir DIR`.

    python -m stylegan_jax.invert faces/ --network ffhq --outdir inverted
    python -m stylegan_jax.invert me.jpg --network runs/portraits --space w \
        --preset image2stylegan --perceptual none --steps 1000 --outdir inverted

Writes per image a .safetensors (latents, noise, configuration, scores), the picture,
the stages and the losses; for all `report.json` and a table. See docs/inversion.md.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro

from stylegan_jax import loading
from stylegan_jax.classifiers import own
from stylegan_jax.commands import cli
from stylegan_jax.commands.flag_groups import ClassIndex, FeatureWeights
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import photos, recipes, results, resuming
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.objective import FeatureNets, load_features
from stylegan_jax.inversion.photos import Photo
from stylegan_jax.inversion.recipes import Perceptual, Recipe
from stylegan_jax.inversion.results import Inversion
from stylegan_jax.inversion.solver import Plateau
from stylegan_jax.inversion.spaces import Start
from stylegan_jax.io import locks, outputs, video
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.outputs import Outputs
from stylegan_jax.io.records import to_json
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.reconstruction import FORMATS, report, table, text
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import one_hot
from stylegan_jax.runs.provenance import provenance

PresetName = Literal[
    "image2stylegan++",
    "image2stylegan",
    "image2stylegan++-alternating",
    "stylegan2-projector",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InvertArgs(FeatureWeights):
    """Finds the latents and the noise from which a network draws given images."""

    # Files, or folders of them.
    images: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGES")
    ]
    network: str  # what `stylegan_jax.sample` takes: a run, a file, a public name
    outdir: Path  # folder for the results; made if need be
    preset: PresetName = "image2stylegan++"
    space: Literal["preset", "z", "z+", "w", "w+"] = "preset"
    # What else than pixels is compared; none needs no weights of other networks.
    perceptual: Perceptual = "preset"
    # Where the search begins; of several, each image keeps its best.
    starts: tuple[Start, ...] | None = None
    code: Path | None = None  # begins at this code, of one image, instead
    steps: int | None = None  # iterations of stages that move latents
    noise_steps: int | None = None  # of those that move noise only; 0 leaves them out
    learning_rate: float | None = None
    noise_learning_rate: float | None = None
    # An image stops when its loss has not fallen by a hundredth in so many iterations.
    patience: int | None = None
    # Weights of stages that move latents; units: docs/inversion.md.
    pixel_weight: float | None = None
    perceptual_weight: float | None = None
    style_weight: float | None = None
    lpips_weight: float | None = None
    own_weight: float | None = None  # of --features
    stay_weight: float | None = None  # distance of w from its start
    noise_pixel_weight: float | None = None  # of stages that move noise only
    features: Path | None = None  # a network of your own, for --perceptual own
    # A network that knows people apart, for the identity score of the report.
    identity: Path | None = None
    align: bool = False  # cut the largest face out as FFHQ's are; else central squares
    # Where faces are, for --align: a file, or a folder with one per image, of its name.
    landmarks: Path | None = None
    # The class to invert in, from 0, of a conditional network, in z and for starts.
    class_index: ClassIndex = None
    seed: int = 0  # of everything random, together with the image
    batch_size: int | None = None  # images at once on a device: 1 on CPUs, otherwise 8
    resume: bool = False  # go on with what an earlier call of this command left
    video: bool = False  # also a film of the search
    fps: int = 10  # frames per second; one frame per 10 iterations


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(InvertArgs, argv, prog="python -m stylegan_jax.invert")
    _check(args)
    named = [*outputs.files_named_in(args), *(x for x in args.images if x.is_dir())]
    out = Outputs(args.outdir, inputs=named, fixed=("report.json", "report.md"))
    generator = loading.load(args.network)
    recipe = make_recipe(args, generator.resolution)
    paths = photos.listed(args.images)
    read, rejected = photos.read(
        paths,
        generator.resolution,
        generator.config.num_channels,
        aligned=args.align,
        landmarks=args.landmarks,
    )
    out.protect(paths)
    read = [
        photo._replace(name=out.stem(photo.path.stem, results.ENDINGS))
        for photo in read
    ]
    for file in rejected:
        cli.say(f"{file.path}: {file.reason}; left out", sys.stderr)
    if read:
        features = load_features(
            recipe,
            vgg16_path=args.vgg16,
            lpips_path=args.lpips,
            own=own.load(args.features) if args.features else None,
        )
        who = own.load(args.identity) if args.identity else None
        with locks.held(args.outdir / ".lock", str(args.outdir)):
            failed = _invert_all(args, recipe, generator, read, features, who)
            _report(out, [photo.name for photo in read])
        for name in failed:
            print(f"{name}: a loss was not finite; its best is kept", file=sys.stderr)
    if rejected:
        raise UserError(f"{len(rejected)} of {len(paths)} images could not be inverted")
    print(f"results in {args.outdir}")


def make_recipe(args: InvertArgs, resolution: int) -> Recipe:
    """The preset for images of `resolution` pixels, changed by the flags."""
    recipe = recipes.recipe(args.preset, resolution)
    recipe = recipes.with_perceptual(recipe, args.perceptual)
    recipe = recipes.with_steps(recipe, args.steps, args.noise_steps)
    given = {
        "pixel": args.pixel_weight,
        "perceptual": args.perceptual_weight,
        "style": args.style_weight,
        "lpips": args.lpips_weight,
        "own": args.own_weight,
        "stay": args.stay_weight,
    }
    of_latents = {name: value for name, value in given.items() if value is not None}
    of_noise = (
        {} if args.noise_pixel_weight is None else {"pixel": args.noise_pixel_weight}
    )
    for name, value in {
        **of_latents,
        "noise pixel": of_noise.get("pixel", 0.0),
    }.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"the {name} weight is {value}; it must be 0 or above")
    stages = []
    for stage in recipe.stages:
        of_noise_only = stage.moves == "noise"
        rate = args.noise_learning_rate if of_noise_only else args.learning_rate
        plan = stage.plan
        if rate is not None:
            optimizer = dataclasses.replace(plan.optimizer, learning_rate=rate)
            plan = dataclasses.replace(plan, optimizer=optimizer)
        if args.patience is not None:
            plan = dataclasses.replace(plan, plateau=Plateau(patience=args.patience))
        changes = of_noise if of_noise_only else of_latents
        weights = dataclasses.replace(stage.weights, **changes)
        stages.append(dataclasses.replace(stage, plan=plan, weights=weights))
    starts = args.starts or (() if args.code else recipe.starts)
    space = recipe.space if args.space == "preset" else args.space
    return dataclasses.replace(
        recipe, stages=tuple(stages), space=space, starts=starts, seed=args.seed
    )


def _check(args: InvertArgs) -> None:
    for name, value, low in [
        ("--steps", args.steps, 1),
        ("--noise-steps", args.noise_steps, 0),
        ("--batch-size", args.batch_size, 1),
        ("--fps", args.fps, 1),
    ]:
        if value is not None and value < low:
            raise UserError(f"{name} {value} is below {low}")
    if args.features and args.perceptual != "own":
        raise UserError("--features goes with --perceptual own")
    if args.landmarks and not args.align:
        raise UserError("--landmarks goes with --align")
    if args.landmarks and not args.landmarks.exists():
        raise UserError(f"{args.landmarks}: there is no such file or folder")
    if args.video:
        video.load_av()


def _invert_all(
    args: InvertArgs,
    recipe: Recipe,
    generator: Generator,
    read: Sequence[Photo],
    features: FeatureNets,
    who: FrozenNetwork | None,
) -> list[str]:
    """Inverts and writes; returns the names of images whose loss was not finite."""
    abouts = _abouts(args, recipe, generator, features, read)
    there = [(args.outdir / f"{photo.name}.safetensors").exists() for photo in read]
    if any(there) and not args.resume:
        raise UserError(
            f"{args.outdir} has results already; --resume goes on with them, or give "
            "another --outdir"
        )
    left = [
        i
        for i, photo in enumerate(read)
        if not results.is_done(args.outdir, photo.name, abouts[i])
    ]
    if not args.resume:
        _forget(args.outdir)
    given = None
    if args.code is not None and left:
        one = codes.load(args.code, generator).code
        given = one[np.zeros(len(left), int)] if len(one) == 1 else one
    failed: list[str] = []
    total = len(left) * len(recipe.starts or "1") * recipe.stages[0].plan.steps
    total += len(left) * sum(stage.plan.steps for stage in recipe.stages[1:])
    with progress_bar() as bar:
        task = bar.add_task("", total=total)
        for step in invert(
            generator,
            [read[i].pixels for i in left],
            recipe,
            features,
            labels=one_hot(generator.config.label_size, args.class_index),
            given=given,
            batch_size=args.batch_size or (1 if jax.default_backend() == "cpu" else 8),
            chunk=10 if args.video else 50,
            folder=args.outdir,
            frames=args.video,
        ):
            description = f"{step.stage}: loss {step.loss:.3g}"
            bar.update(task, advance=step.iterations, description=description)
            for inversion in step.finished:
                i = left[inversion.index]
                _finish(args, read[i], inversion, abouts[i], features, who)
                if inversion.failed:
                    failed.append(read[i].name)
    return failed


def _abouts(
    args: InvertArgs,
    recipe: Recipe,
    generator: Generator,
    features: FeatureNets,
    read: Sequence[Photo],
) -> list[dict[str, Any]]:
    weights = list(features.contents())
    common = {
        "recipe": to_json(recipe),
        "seed": recipe.seed,
        "network": fingerprint(generator),
        "perceptual weights": resuming.identity(weights) if weights else None,
        "class": args.class_index,
    }
    marks = [hashlib.sha256(photo.pixels.tobytes()).hexdigest() for photo in read]
    return [common | {"image": mark} for mark in marks]


def fingerprint(generator: Generator) -> str:
    """SHA-256 of a network's parameters."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves((generator.params, generator.noise, generator.alpha)):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _forget(outdir: Path) -> None:
    for file in (outdir / resuming.FOLDER).glob("*.npz"):
        file.unlink()


def _finish(
    args: InvertArgs,
    photo: Photo,
    found: Inversion,
    about: dict[str, Any],
    features: FeatureNets,
    who: FrozenNetwork | None,
) -> None:
    drawn = np.stack([stage.picture for stage in found.stages])
    targets = np.broadcast_to(photo.pixels, drawn.shape)
    scores = report(targets, drawn, lpips_params=features.lpips, identity=who)
    stages = [
        {
            "name": stage.name,
            "loss": stage.loss,
            "iterations": len(stage.history),
            "failed": stage.failed,
            **{name: float(values[i]) for name, values in scores.items()},
        }
        for i, stage in enumerate(found.stages)
    ]
    results.write(
        args.outdir,
        photo.name,
        photo.pixels,
        found,
        about={
            **about,
            "file": str(photo.path.absolute()),
            "quad": photo.quad.tolist(),  # for pasting back
            "network_path": args.network,
            "start": found.start,
            "stages": stages,
        },
        psnr=scores["psnr"],
        fps=args.fps if args.video else None,
    )
    print(f"{photo.name}: {text(stages[-1])}", flush=True)


def _report(out: Outputs, names: Sequence[str]) -> None:
    folder = out.folder
    abouts = {name: codes.load(folder / f"{name}.safetensors").about for name in names}
    scores = {
        name: [
            (stage["name"], {key: float(stage[key]) for key in FORMATS if key in stage})
            for stage in about["stages"]
        ]
        for name, about in abouts.items()
    }
    everything = {"provenance": provenance(), "images": abouts}
    atomic_write(out.path("report.json"), json.dumps(everything, indent=2) + "\n")
    rows = table(names, scores)
    atomic_write(out.path("report.md"), f"{rows}\n\n<!-- stylegan_jax.invert -->\n")
    print(rows)
