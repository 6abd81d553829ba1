"""The training step: images per second, FLOP and memory.

    python -m benchmarks.train_step --json step.json
    python -m benchmarks.train_step --no-run --precisions float32

A row is a resolution and a precision; the step is the one of `training.step`, both
networks' updates included, with made-up images. `benchmarks.measure` says what XLA's
FLOP contain, `benchmarks.analytic` what they are compared with.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks import analytic, measure, report
from benchmarks.report import Row, Setting
from stylegan_jax.augment.values import PIPES
from stylegan_jax.distributed import parallel
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.adaptive import NO_AUGMENTATION, AugmentConfig
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import Phase
from stylegan_jax.training.state import OptimizerConfig, TrainState, init_state
from stylegan_jax.training.step import make_step

_OPTIMIZER = OptimizerConfig()


def make_phase(
    resolution: int, batch_size: int, *, fading: bool = False, repeats: int = 1
) -> Phase:
    """A phase of training at `resolution` that has just begun."""
    return Phase(
        resolution=resolution,
        fading=fading,
        start_nimg=0,
        end_nimg=1_000_000,
        batch_size=batch_size,
        accumulate=1,
        repeats=repeats,
        fade_start_nimg=0,
        fade_nimg=1_000_000,
    )


def lower_step(
    model: ModelConfig, phase: Phase, augment: AugmentConfig = NO_AUGMENTATION
) -> Any:
    """The step of a phase on one device, lowered but not compiled."""
    step = make_step(
        model,
        LossConfig(),
        _OPTIMIZER,
        phase,
        parallel.make_mesh(1),
        augment=augment,
    )
    shapes = jax.eval_shape(
        lambda key: (_init(model, augment, key), _make_batch(model, phase, key), key),
        jax.random.key(0),
    )
    return step.lower(*shapes)  # type: ignore[attr-defined]


def measure_row(setting: Setting, args: argparse.Namespace) -> Row:
    """One line of the table."""
    model, resolution, precision, batch_size = setting
    phase = make_phase(resolution, batch_size, fading=args.fading, repeats=args.repeats)
    augment = NO_AUGMENTATION
    if args.augment:
        augment = AugmentConfig(mode="ada", pipe=args.augment, p=0.5)
    with measure.precision(precision):
        step, cost = measure.compile_with_cost(lower_step(model, phase, augment))
    counts = {
        name: analytic.training_flops(
            model, resolution, fading=args.fading, fused_from=fused_from
        )
        for name, fused_from in (("analytic_flop", None), ("leanest_flop", 8))
    }
    row = report.make_row(setting, cost, **counts) | {"fading": args.fading}
    if not args.no_run:
        rates = measure.measure_rates(
            _caller(model, phase, augment, step),
            # The cost is that of one minibatch, the loop's body.
            cost.lowered_flop * phase.repeats,
            measure.make_matmul(precision),
            steps=args.steps,
            seconds=args.seconds,
        )
        peak = measure.peak_device_mib(jax.devices()[0])
        report.add_rates(row, rates, phase.step_nimg, peak)
    return row


def _caller(
    model: ModelConfig, phase: Phase, augment: AugmentConfig, step: Any
) -> Callable[[], Array]:
    """A function that trains on for one call of the step."""
    mesh = parallel.make_mesh(1)
    key = jax.device_put(jax.random.key(0), parallel.replicated(mesh))
    state = jax.jit(
        lambda key: _init(model, augment, key), out_shardings=parallel.replicated(mesh)
    )(key)
    batch = jax.jit(
        lambda key: _make_batch(model, phase, key),
        out_shardings=parallel.split(mesh, axis=1),
    )(key)

    def call() -> Array:
        nonlocal state
        state, metrics = step(state, batch, key)
        return metrics["loss/G"]

    return call


def _init(model: ModelConfig, augment: AugmentConfig, key: Array) -> TrainState:
    return init_state(key, model, _OPTIMIZER, augment)


def _make_batch(model: ModelConfig, phase: Phase, key: Array) -> dict[str, Array]:
    lead = (phase.repeats, phase.batch_size)
    size = (phase.resolution, phase.resolution, model.num_channels)
    return {
        "images": jax.random.bits(key, (*lead, *size), jnp.uint8),
        "labels": jnp.zeros((*lead, model.label_size)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints one row after the other."""
    parser = report.make_parser("Speed, FLOP and memory of the training step.")
    parser.add_argument("--fading", action="store_true", help="blend resolutions")
    parser.add_argument("--repeats", type=int, default=4, help="minibatches per call")
    parser.add_argument(
        "--augment", choices=sorted(PIPES), help="adaptive augmentation by this pipe"
    )
    args = parser.parse_args(argv)
    report.run(measure_row, args)


if __name__ == "__main__":
    main()
