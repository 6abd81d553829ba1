"""Inverts images: `python -m stylegan_jax.invert IMAGES --network RUN --outdir DIR`.

The files of an image: `inversion/results.py`; for all `report.json` and a table.
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
from stylegan_jax.commands.flag_groups import (
    ClassIndex,
    Faces,
    FeatureWeights,
    require_at_least,
)
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.interop.bundle import Bundle
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import encoder as encoders
from stylegan_jax.inversion import photos, recipes, results, resuming
from stylegan_jax.inversion.encoder import Encoder
from stylegan_jax.inversion.feature_nets import FeatureNets, Perceptual
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import load_features
from stylegan_jax.inversion.solver import Plateau
from stylegan_jax.inversion.spaces import Start
from stylegan_jax.io import locks, outputs, video
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.records import to_json
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.reconstruction import report, table, text
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import one_hot
from stylegan_jax.runs.run_directory import provenance

PresetName = Literal[
    "image2stylegan++",
    "image2stylegan",
    "image2stylegan++-alternating",
    "editing",
    "stylegan2-projector",
    "instant",
    "pivotal",
]

_WEIGHTS = (
    *("pixel", "perceptual", "style", "lpips", "included", "own", "stay", "near"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InvertArgs(FeatureWeights, Faces):
    """Finds the latents and the noise from which a network draws given images."""

    # Files, or folders of them.
    images: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGES")
    ]
    network: str  # what `stylegan_jax.sample` takes: a run, a file, a public name
    outdir: Path  # folder for the results; made if need be
    preset: PresetName = "image2stylegan++"
    space: Literal["preset", "z", "z+", "w", "w+"] = "preset"
    # What else than pixels is compared. preset: what the preset names if its weights
    # are here already, otherwise the included network; vgg16 and lpips fetch theirs.
    perceptual: Perceptual = "preset"
    # Where the search begins; of several, each image keeps its best. By default at the
    # encoder's estimate where there is one, otherwise where the preset says.
    starts: tuple[Start, ...] | None = None
    # Of `stylegan_jax.encoder`. By default what lies beside the network:
    # NAME_encoder.safetensors beside a file, encoder.safetensors in a run.
    encoder: Path | None = None
    code: Path | None = None  # begins at this code, of one image, instead
    steps: int | None = None  # iterations of stages that move latents
    noise_steps: int | None = None  # of those that move noise only; 0 leaves them out
    learning_rate: float | None = None  # of latents
    noise_learning_rate: float | None = None  # of noise, where it moves alone
    tuning_steps: int | None = None  # of the preset pivotal: of the network
    tuning_rate: float | None = None  # likewise: the learning rate of its weights
    locality_weight: float | None = None  # likewise: of what holds the network
    # An image stops when its loss has not fallen by a hundredth in so many iterations.
    patience: int | None = None
    # Weights of stages that move latents; units: docs/inversion.md.
    pixel_weight: float | None = None
    perceptual_weight: float | None = None
    style_weight: float | None = None
    lpips_weight: float | None = None
    included_weight: float | None = None
    own_weight: float | None = None  # of --features
    stay_weight: float | None = None  # distance of w from its start
    near_weight: float | None = None  # squared deviation of w from the mean
    noise_pixel_weight: float | None = None  # of stages that move noise only
    features: Path | None = None  # a network of your own, for --perceptual own
    # A network that knows people apart, for the identity score of the report.
    identity: Path | None = None
    # The class to invert in, from 0, of a conditional network, in z and for starts.
    class_index: ClassIndex = None
    seed: int = 0  # of everything random, together with the image
    # Images at once on a device: 1 on CPUs, otherwise 8; 64 for the encoder alone.
    batch_size: int | None = None
    resume: bool = False  # go on with what an earlier call of this command left
    video: bool = False  # also a film of the search
    fps: int = 10  # frames per second; one frame per 10 iterations


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(InvertArgs, argv, prog="python -m stylegan_jax.invert")
    _check(args)
    named = [*outputs.files_named_in(args), *(x for x in args.images if x.is_dir())]
    out = outputs.Outputs(args.outdir, inputs=named, fixed=("report.json", "report.md"))
    bundle = loading.load_bundle(args.network, "ema")
    generator = bundle.generator
    encoder = find_encoder(args, generator)
    recipe = make_recipe(args, generator.resolution, encoded=encoder is not None)
    _check_used(args, recipe)
    paths = photos.listed(args.images)
    read, rejected = photos.read(
        paths,
        generator.resolution,
        generator.config.num_channels,
        aligned=args.align,
        landmarks=args.landmarks,
    )
    out.protect(paths)
    read = [x._replace(name=out.stem(x.path.stem, results.ENDINGS)) for x in read]
    for file in rejected:
        cli.say(f"{file.path}: {file.reason}; left out", sys.stderr)
    if read:
        features = load_features(
            recipe,
            vgg16_path=args.vgg16,
            lpips_path=args.lpips,
            own=own.load(args.features) if args.features else None,
        )
        with locks.held(args.outdir / ".lock", str(args.outdir)):
            _invert_all(args, recipe, bundle, read, features, encoder)
            _report(out, [photo.name for photo in read])
    if rejected:
        raise UserError(f"{len(rejected)} of {len(paths)} images could not be inverted")
    print(f"results in {args.outdir}")


def find_encoder(args: InvertArgs, generator: Generator) -> Encoder | None:
    """The given encoder, or the one beside the network; None if it is not wanted."""
    if "encoder" not in args.starts if args.starts else args.code:
        return None
    needed = bool(args.encoder or args.starts or args.preset == "instant")
    return encoder_of(args.network, generator, file=args.encoder, needed=needed)


def encoder_of(
    network: str, generator: Generator, *, file: Path | None = None, needed: bool
) -> Encoder | None:
    """The encoder in a file, or the one beside a network; None if there is none.

    One of another network is a UserError if it is `needed`, otherwise left out.
    """
    path = file or loading.beside(network, "encoder")
    if path is None:
        return None
    encoder = encoders.load(path)
    try:
        encoders.check(encoder, generator)
    except UserError as error:
        if needed:
            raise UserError(f"{path}: {error}") from None
        cli.say(f"{path} is left out: {error}", sys.stderr)
        return None
    return encoder


def make_recipe(
    args: InvertArgs, resolution: int, *, encoded: bool = False
) -> recipes.Recipe:
    """The preset for images of `resolution` pixels, changed by the flags.

    `encoded`: there is an encoder, where searches of w and w+ begin.
    """
    recipe = recipes.recipe(args.preset, resolution)
    recipe = recipes.with_steps(recipe, args.steps, args.noise_steps)
    recipe = recipes.with_perceptual(
        recipe, args.perceptual, vgg16_path=args.vgg16, lpips_path=args.lpips
    )
    plateau = None if args.patience is None else Plateau(patience=args.patience)
    stages = []
    for stage in recipe.stages:
        rate = args.learning_rate
        weights = {name: getattr(args, f"{name}_weight") for name in _WEIGHTS}
        if stage.moves == "noise":
            rate, weights = args.noise_learning_rate, {"pixel": args.noise_pixel_weight}
        if rate is not None and stage.plan.optimizer.name == "lbfgs":
            raise UserError(
                f"--learning-rate {rate}: the preset {args.preset} searches by L-BFGS, "
                "which finds the length of its steps; leave --learning-rate out"
            )
        optimizer = _replace(stage.plan.optimizer, learning_rate=rate)
        plan = _replace(stage.plan, optimizer=optimizer, plateau=plateau)
        weights = _replace(stage.weights, **weights)
        stages.append(dataclasses.replace(stage, plan=plan, weights=weights))
    space = recipe.space if args.space == "preset" else args.space
    usual = recipe.starts
    if encoded and space.startswith("w"):
        usual = ("encoder",)
    starts = args.starts or (() if args.code else usual)
    tuned = {"steps": args.tuning_steps, "learning_rate": args.tuning_rate}
    tuned["locality"] = args.locality_weight
    tuning = recipe.tuning
    if tuning is None and any(x is not None for x in tuned.values()):
        raise UserError(
            "--tuning-steps, --tuning-rate and --locality-weight go with --preset "
            "pivotal"
        )
    tuning = tuning and _replace(tuning, **tuned)
    changes = {"space": space, "starts": starts, "seed": args.seed, "tuning": tuning}
    return dataclasses.replace(recipe, stages=tuple(stages), **changes)


def _replace(settings: Any, **changes: Any) -> Any:
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(settings, **given)


def _check(args: InvertArgs) -> None:
    weights = {f"{name}_weight": 0 for name in (*_WEIGHTS, "noise_pixel")}
    weights |= {"noise_steps": 0, "locality_weight": 0}
    require_at_least(args, steps=1, tuning_steps=1, batch_size=1, fps=1, **weights)
    args.check_faces()
    if args.features and args.perceptual != "own":
        raise UserError("--features goes with --perceptual own")
    if args.video:
        video.load_av()


def _check_used(args: InvertArgs, recipe: recipes.Recipe) -> None:
    """Raises UserError for flags that would do nothing."""
    if args.encoder and "encoder" not in recipe.starts:
        raise UserError(
            f"--encoder {args.encoder}: the search would not begin there; add encoder "
            "to --starts, with --space w or w+, or leave --encoder out"
        )
    if args.video and not sum(stage.plan.steps for stage in recipe.stages):
        raise UserError(
            f"--video: the preset {args.preset} has no search to film; give --steps 50,"
            " or leave --video out"
        )


def _invert_all(
    args: InvertArgs,
    recipe: recipes.Recipe,
    bundle: Bundle,
    read: Sequence[photos.Photo],
    features: FeatureNets,
    encoder: Encoder | None,
) -> None:
    """Inverts and writes what is not there yet."""
    folder, who = args.outdir, own.load(args.identity) if args.identity else None
    generator = bundle.generator
    weights = list(features.contents())
    common: dict[str, Any] = {
        "recipe": to_json(recipe),
        "seed": recipe.seed,
        "network": _sha256((generator.params, generator.noise, generator.alpha)),
        "perceptual weights": resuming.identity(weights) if weights else None,
        "class": args.class_index,
    }
    if "encoder" in recipe.starts:
        common["encoder"] = _sha256(encoder)
    abouts = [common | {"image": _sha256(photo.pixels)} for photo in read]
    if not args.resume:
        if any((folder / f"{photo.name}.safetensors").exists() for photo in read):
            raise UserError(
                f"{folder} has results already; --resume goes on with them, or give "
                "another --outdir"
            )
        for file in (folder / resuming.FOLDER).glob("*.npz"):
            file.unlink()
    left = [
        (photo, about)
        for photo, about in zip(read, abouts, strict=True)
        if not results.is_done(folder, photo.name, about)
    ]
    given = None
    if args.code is not None and left:
        given = codes.load(args.code, generator).code
        given = given[np.zeros(len(left), int)] if len(given) == 1 else given
    first, *later = (stage.plan.steps for stage in recipe.stages)
    tuning = recipe.tuning.steps if recipe.tuning else 0
    steps = len(recipe.starts or "1") * first + sum(later) + tuning
    usual = 64 if not steps else 1 if jax.default_backend() == "cpu" else 8
    with progress_bar() as bar:
        task = bar.add_task("", total=len(left) * (steps or 1))
        for step in invert(
            generator,
            [photo.pixels for photo, _ in left],
            recipe,
            features,
            labels=one_hot(generator.config.label_size, args.class_index),
            given=given,
            encoder=encoder,
            batch_size=args.batch_size or max(1, min(usual, len(left))),
            chunk=10 if args.video else 50,
            folder=folder,
            frames=args.video,
        ):
            description = f"{step.stage}: loss {step.loss:.3g}"
            advance = step.iterations if steps else len(step.finished)
            bar.update(task, advance=advance, description=description)
            for found in step.finished:
                _finish(args, *left[found.index], found, features, who, bundle.licence)


def _sha256(tree: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _finish(
    args: InvertArgs,
    photo: photos.Photo,
    about: dict[str, Any],
    found: results.Inversion,
    features: FeatureNets,
    who: FrozenNetwork | None,
    licence: str,
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
    about |= {
        "file": str(photo.path.absolute()),
        "quad": photo.quad.tolist(),  # for pasting back
        "network_path": args.network,
        "start": found.start,
        "stages": stages,
    }
    results.write(
        args.outdir,
        photo.name,
        photo.pixels,
        found,
        about=about,
        psnr=scores["psnr"],
        fps=args.fps if args.video else None,
        licence=licence,
    )
    told = "; ".join(f"{stage['name']}: {text(stage)}" for stage in stages)
    print(f"{photo.name}: {told}", flush=True)
    if found.failed:
        print(f"{photo.name}: a loss was not finite; its best is kept", file=sys.stderr)


def _report(out: outputs.Outputs, names: Sequence[str]) -> None:
    files = {name: out.folder / f"{name}.safetensors" for name in names}
    abouts = {name: codes.load(file).about for name, file in files.items()}
    everything = {"provenance": provenance(), "images": abouts}
    atomic_write(out.path("report.json"), json.dumps(everything, indent=2) + "\n")
    rows = table({name: about["stages"] for name, about in abouts.items()})
    atomic_write(out.path("report.md"), f"{rows}\n\n<!-- stylegan_jax.invert -->\n")
    print(rows)
