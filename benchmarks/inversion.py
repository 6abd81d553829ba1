"""Inverting images: iterations per second, and what an iteration costs.

    python -m benchmarks.inversion --resolutions 64 256 --images 1 4 16
    python -m benchmarks.inversion --perceptual      # with VGG16, random weights
    python -m benchmarks.inversion --stages encoder tuning --images 1

A row is a resolution, a number of images and a stage: latents (W+), noise, or the
network's weights (tuning, of one image), all with the pixel term alone; or the encoder,
of which an iteration is one pass. It is timed in turn with one forward and backward
pass of the generator by itself, by the same variables, so that `ratio` says what the
objective, Adam and the bookkeeping of each image add. Weights are random.
"""

import argparse
import functools
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks import measure
from benchmarks.report import Row
from stylegan_jax.features import vgg16
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import problem as problems
from stylegan_jax.inversion import solver, terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.encoder import Encoder, init_encoder
from stylegan_jax.inversion.feature_nets import NO_FEATURES
from stylegan_jax.inversion.pivotal import TuningProblem
from stylegan_jax.inversion.recipes import Tuning, Weights
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator

_STAGES = ("w", "noise", "tuning", "encoder")
_HEADINGS = (
    ("px", "resolution", "d"),
    ("images", "images", "d"),
    ("stage", "stage", "s"),
    ("iterations/s", "iterations_per_second", ".3g"),
    ("image-iterations/s", "image_iterations_per_second", ".3g"),
    ("ratio", "ratio", ".2f"),
    ("compile s", "compile_seconds", ".1f"),
    ("temporary MiB", "temp_mib", ".0f"),
)


class Setting(NamedTuple):
    """One row, before it is measured."""

    resolution: int
    images: int
    stage: str  # "w", "noise", "tuning" or "encoder"


def measure_row(setting: Setting, args: argparse.Namespace) -> Row:
    """One line of the table."""
    model = ModelConfig(
        resolution=setting.resolution,
        channel_base=args.channel_base,
        channel_max=args.channel_max,
    )
    generator = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), model)
    shape = (setting.images, model.num_ws, model.w_dim)
    start = Code(
        jax.random.normal(jax.random.key(1), shape),
        codes.stored_noise(generator, setting.images),
    )
    size = (setting.images, setting.resolution, setting.resolution, 3)
    target = jnp.zeros(size)
    seen: list[terms.Term] = [terms.PixelTerm(target)]
    if args.perceptual:
        seen.append(terms.perceptual_term(target, _random_vgg16()))
    if setting.stage == "encoder":
        iterate, cost = _passes(generator, target, args)
    else:
        iterate, cost = _iterations(generator, start, tuple(seen), setting.stage, args)
    row = {
        **setting._asdict(),
        "compile_seconds": cost.compile_seconds,
        "temp_mib": cost.temp_mib,
    }
    if args.no_run:
        return row
    alone = _forward_and_backward(generator, start, setting.stage)
    rounds = _times(iterate, alone, args)
    seconds = statistics.median(a for a, _ in rounds) / args.iterations
    return row | {
        "iterations_per_second": 1 / seconds,
        "image_iterations_per_second": setting.images / seconds,
        "ratio": statistics.median(a / args.iterations / b for a, b in rounds),
        "seconds_alone": statistics.median(b for _, b in rounds),
    }


def _passes(
    generator: Generator, images: Array, args: argparse.Namespace
) -> tuple[Callable[[], Any], measure.Cost]:
    """As many compiled passes of an untrained encoder as a chunk has iterations."""
    encoder = init_encoder(jax.random.key(0), generator)
    lowered = jax.jit(Encoder.__call__).lower(encoder, images)
    compiled, cost = measure.compile_with_cost(lowered)
    return lambda: [compiled(encoder, images) for _ in range(args.iterations)], cost


def _iterations(
    generator: Generator,
    start: Code,
    seen: tuple[terms.Term, ...],
    stage: str,
    args: argparse.Namespace,
) -> tuple[Callable[[], Any], measure.Cost]:
    """The compiled program of a chunk, called again and again with what it returns."""
    layers = tuple(range(start.ws.shape[1]))
    problem: Any = problems.LatentProblem(generator, seen, start, layers=layers)
    moving: Any = {"latent": start.ws} if stage == "w" else {"noise": start.noise}
    if stage == "tuning":
        pixels = Tuning(weights=Weights(perceptual=0.0))
        how: Any = {"spread": jnp.float32(1), "key": jax.random.key(2)}
        how |= {"features": NO_FEATURES, "tuning": pixels}
        problem = TuningProblem(generator, start, seen, **how)
        moving = jax.tree.map(lambda x: x[None], generator.params["synthesis"])
    plan = solver.Plan(steps=10**6)
    state = solver.begin(moving, plan)
    lengths = plan.steps, args.iterations
    lowered = solver.run_chunk.lower(
        problem,
        state,
        *lengths,
        optimizer=plan.optimizer,
        plateau=plan.plateau,
        most=args.iterations,
    )
    compiled, cost = measure.compile_with_cost(lowered)
    states = [state]

    def call() -> Any:
        state, losses = compiled(problem, states.pop(), *lengths)
        states.append(state)
        return losses

    return call, cost


def _forward_and_backward(
    generator: Generator, start: Code, stage: str
) -> Callable[[], Any]:
    """The images, and the derivative of their sum by what the stage moves."""

    def total(ws: Array, noise: tuple[Array, ...], generator: Generator) -> Array:
        return generator.synthesize(ws, noise).sum()

    place = {"noise": 1, "tuning": 2}.get(stage, 0)
    gradient = jax.jit(jax.value_and_grad(total, place))
    return functools.partial(gradient, start.ws, start.noise, generator)


def _times(
    a: Callable[[], Any], b: Callable[[], Any], args: argparse.Namespace
) -> list[tuple[float, float]]:
    """Seconds of both, in turn; the first calls are slower and do not count."""
    for call in (a, b):
        measure.seconds_of(call)
    pairs: list[tuple[float, float]] = []
    for _ in range(args.rounds):
        many = [measure.seconds_of(b) for _ in range(args.iterations)]
        pairs.append((measure.seconds_of(a), statistics.mean(many)))
    return pairs


def _random_vgg16() -> dict[str, Array]:
    random = np.random.RandomState(0)
    return vgg16.convert(
        {
            name: (random.randn(*shape) * (2 / max(1, np.prod(shape[1:]))) ** 0.5)
            for name, shape in vgg16.shapes(dense=False).items()
        }
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints one row after the other."""
    parser = argparse.ArgumentParser(description="Speed of inverting images.")
    add = parser.add_argument
    add("--resolutions", type=int, nargs="+", default=[64, 256, 1024])
    add("--images", type=int, nargs="+", default=[1, 4, 16])
    add("--stages", nargs="+", choices=[*_STAGES], default=["w", "noise"])
    add("--channel-base", type=int, default=ModelConfig.channel_base)
    add("--channel-max", type=int, default=ModelConfig.channel_max)
    add("--iterations", type=int, default=5, help="in a compiled program")
    add("--rounds", type=int, default=3, help="timed calls of it")
    add("--perceptual", action="store_true", help="also VGG16, of random weights")
    add("--no-run", action="store_true", help="compile only: no speed")
    add("--json", type=Path, metavar="PATH", help="also write the results here")
    args = parser.parse_args(argv)
    if "tuning" in args.stages and args.images != [1]:
        parser.error("tuning is of one image: --images 1")
    rows: list[Row] = []
    print("| " + " | ".join(heading for heading, _, _ in _HEADINGS) + " |")
    print("|---" * len(_HEADINGS) + "|")
    for resolution in args.resolutions:
        for images in args.images:
            for stage in args.stages:
                row = measure_row(Setting(resolution, images, stage), args)
                rows.append(row)
                cells = (
                    format(row[key], style) if key in row else ""
                    for _, key, style in _HEADINGS
                )
                print("| " + " | ".join(cells) + " |", flush=True)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
