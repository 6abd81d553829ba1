"""Trains an encoder: `python -m stylegan_jax.encoder NETWORK --outdir DIR`.

Writes `encoder.safetensors`, scores on held-out images (`report.json`, `report.md`), a
sheet of them, and the losses.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stylegan_jax import loading
from stylegan_jax.classifiers import own
from stylegan_jax.commands import cli, known_data
from stylegan_jax.commands.flag_groups import (
    FeatureWeights,
    OfNetwork,
    require_at_least,
)
from stylegan_jax.commands.known_data import KnownData
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import spread
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import encoder as encoders
from stylegan_jax.inversion import recipes, resuming
from stylegan_jax.inversion.code import draw_pictures
from stylegan_jax.inversion.encoder import Encoder
from stylegan_jax.inversion.encoder_training import (
    EncoderConfig,
    draw_codes,
    train_encoder,
)
from stylegan_jax.inversion.feature_nets import FeatureNets, Perceptual
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.io import grids, plots
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.outputs import Outputs, files_named_in
from stylegan_jax.io.records import to_json
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.metrics.reconstruction import FORMATS, report
from stylegan_jax.metrics.store import ResultFile
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import one_hot
from stylegan_jax.runs.run_directory import provenance

_CHUNK = 25  # steps between two lines of the curve
_SHOWN = 6  # images of a kind in the picture
_AT_ONCE = 16  # images that are scored together


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderArgs(OfNetwork, FeatureWeights):
    """Trains an encoder: images to the latents of a network in one pass.

    It learns from samples of the network, whose latents are known, and from real
    images. The same command goes on with a training that was interrupted.
    """

    data: DataConfig = DataConfig()  # real images; a run's own
    images: int = 5000  # real ones that it learns from; 0: samples alone
    held_out: int = 64  # images and samples, each, that it is scored on
    steps: int = EncoderConfig.steps
    batch_size: int = EncoderConfig.batch_size  # of samples, and of images
    learning_rate: float = EncoderConfig.learning_rate
    # What else than pixels is compared; units of the weights: docs/inversion.md.
    perceptual: Perceptual = "none"
    features: Path | None = None  # a network of your own, for --perceptual own
    pixel_weight: float = 1e-5
    perceptual_weight: float = 1e-5  # of vgg16; of the others in proportion
    latent_weight: float = EncoderConfig.latent
    delta_weight: float = EncoderConfig.delta  # of the layers' differences from one w
    channel_base: int = 1024  # a layer of R px has channel_base / R channels ...
    channel_max: int = 64  # ... and at most these
    hidden: int = 128  # units of the dense layer
    seed: int = 0


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    prog = "python -m stylegan_jax.encoder"
    args, data = known_data.parse(EncoderArgs, argv, prog=prog)
    sizes = {x: getattr(args, x) for x in ("channel_base", "channel_max", "hidden")}
    weights = {"pixel_weight": 0, "perceptual_weight": 0}
    require_at_least(args, images=0, held_out=1, **weights)
    if args.features and args.perceptual != "own":
        raise UserError("--features goes with --perceptual own")
    config = make_config(args)
    out = Outputs(args.outdir, inputs=files_named_in(args))
    generator = loading.load(args.network)
    encoders.shape_for(generator, **sizes)  # mistakes are told before long work
    photos, held_out = _images(args, data, generator)
    features = recipes.load_features(
        recipes.Recipe(stages=(config.stage,)),
        vgg16_path=args.vgg16,
        lpips_path=args.lpips,
        own=own.load(args.features) if args.features else None,
    )
    encoder, losses, file = _train(args, config, generator, photos, features, sizes)
    targets = {"samples": _samples(generator, config, args.held_out)}
    if held_out is not None:
        targets["images"] = held_out
    scores, shown = {}, []
    for kind, pixels in targets.items():
        drawn = {
            start: _inverted(generator, pixels, encoder, start)
            for start in ("mean", "encoder")
        }
        scores[kind] = {
            start: {k: float(v.mean()) for k, v in report(pixels, found).items()}
            for start, found in drawn.items()
        }
        shown += [*pixels[:_SHOWN], *drawn["encoder"][:_SHOWN]]
    path = out.path("encoder.safetensors")
    encoders.save(path, encoder)
    everything = {
        "provenance": provenance(),
        "network": args.network,
        "config": to_json(config),
        "scores": scores,
    }
    atomic_write(out.path("report.json"), json.dumps(everything, indent=2) + "\n")
    text = _table(scores)
    mark = "\n<!-- stylegan_jax.encoder -->\n"
    atomic_write(out.path("report.md"), text + mark)
    columns = min(_SHOWN, args.held_out)
    rows = [name for kind in targets for name in (kind, "estimate")]
    sheet = grids.labelled(shown, columns, row_labels=rows, at_least=96)
    out.write_png("encoder.png", sheet, "sheet")
    axes = {"x_label": f"{_CHUNK} steps", "y_label": "loss"}
    curve = plots.curves({"loss": losses}, title=args.network, **axes)
    out.write_png("losses.png", curve, "sheet")
    resuming.remove(file)
    print(text, end="")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB")


def make_config(args: EncoderArgs) -> EncoderConfig:
    """The training that flags describe."""
    weights = recipes.Weights(
        pixel=args.pixel_weight, perceptual=args.perceptual_weight
    )
    stage = recipes.Stage(name="", moves="latent", weights=weights)
    recipe = recipes.with_perceptual(
        recipes.Recipe(stages=(stage,)),
        args.perceptual,
        vgg16_path=args.vgg16,
        lpips_path=args.lpips,
    )
    return EncoderConfig(
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        images=recipe.stages[0].weights,
        latent=args.latent_weight,
        delta=args.delta_weight,
        seed=args.seed,
    )


def _images(
    args: EncoderArgs, data: KnownData, generator: Generator
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Images to learn from and held-out ones, uint8; None where there are none."""
    if not args.images:
        return None, None
    if data.config is None:
        print(f"{data.owner}: its data is not known (--data.path); only samples count")
        return None, None
    channels = generator.config.num_channels
    fitting = dataclasses.replace(data.config, num_channels=channels)
    source = dataclasses.replace(data, config=fitting).source
    indices = spread(len(source), args.images + args.held_out)
    indices = np.random.RandomState(args.seed).permutation(indices)
    if len(indices) <= args.held_out:
        raise UserError(
            f"{source.name} has {len(source)} images, and {args.held_out} are held "
            "out; lower --held-out, or give --images 0"
        )
    with progress_bar() as bar:
        read = [
            source.image(int(i), generator.resolution)
            for i in bar.track(indices, description="reading images")
        ]
    pixels = np.stack(read)
    return pixels[args.held_out :], pixels[: args.held_out]


def _train(
    args: EncoderArgs,
    config: EncoderConfig,
    generator: Generator,
    photos: np.ndarray | None,
    features: FeatureNets,
    sizes: dict[str, int],
) -> tuple[Encoder, np.ndarray, ResultFile]:
    """The trained encoder, its losses by chunk, and the file in the folder to resume.

    Raises UserError once a loss is not finite.
    """
    parts = [*resuming.contents((generator, photos)), *features.contents()]
    parts.append(json.dumps([to_json(config), sizes]).encode())
    name = f"{resuming.identity(parts)}.npz"
    file = ResultFile(args.outdir / resuming.FOLDER / name, every=30.0)
    kept = file.restore()
    losses = [*kept.pop("losses", [])]
    state = [kept[str(i)] for i in range(len(kept))] or None
    with progress_bar() as bar:
        done = int(state[0]) if state else 0
        task = bar.add_task("training", total=config.steps, completed=done)
        for progress in train_encoder(
            generator,
            config,
            photos=photos,
            features=features,
            state=state,
            chunk=_CHUNK,
            **sizes,
        ):
            means = ", ".join(f"{k} {v:.3g}" for k, v in progress.losses.items())
            bar.update(task, completed=progress.step, description=means)
            if progress.step * 10 // config.steps > done * 10 // config.steps:
                print(f"{progress.step} of {config.steps} steps: {means}", flush=True)
            done = progress.step
            losses.append(progress.total)
            if not np.isfinite(progress.total):
                raise UserError(
                    f"the loss after {done} steps is not finite; give a smaller "
                    "`learning_rate` or smaller weights"
                )
            if done == config.steps:
                break  # the file keeps what is left to do
            leaves = jax.tree.leaves(progress.state)
            arrays = {str(i): np.asarray(x) for i, x in enumerate(leaves)}
            file.save(lambda: {**arrays, "losses": np.array(losses)})  # noqa: B023
    return progress.encoder, np.array(losses), file


def _samples(generator: Generator, config: EncoderConfig, count: int) -> np.ndarray:
    """Samples that were not learnt from, uint8."""
    one = dataclasses.replace(config, mixing=0.0, batch_size=1)
    keys = jax.random.split(jax.random.key(config.seed + 1), count)
    draw = jax.jit(draw_codes, static_argnums=1)
    drawn = (draw_pictures(generator, draw(generator, one, key)) for key in keys)
    return np.concatenate([*drawn])


def _inverted(
    generator: Generator, targets: np.ndarray, encoder: Encoder, start: Any
) -> np.ndarray:
    """What the network draws from the start of a search, uint8."""
    recipe = recipes.recipe("instant", generator.resolution)
    recipe = dataclasses.replace(recipe, starts=(start,))
    size = generator.config.label_size
    found = invert(
        generator,
        list(targets),
        recipe,
        encoder=encoder,
        labels=one_hot(size, 0 if size else None),
        batch_size=_AT_ONCE,
    )
    return np.stack([x.stages[-1].picture for step in found for x in step.finished])


def _table(scores: dict[str, Any]) -> str:
    names = [name for name in FORMATS if name in next(iter(scores.values()))["mean"]]
    lines = [["held out", "start", *(FORMATS[name][0] for name in names)]]
    lines.append(["---"] * len(lines[0]))
    for kind, starts in scores.items():
        for start, found in starts.items():
            numbers = [format(found[name], FORMATS[name][1]) for name in names]
            lines.append([kind, start, *numbers])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
