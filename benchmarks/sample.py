"""Drawing images from a generator: images per second, FLOP and memory.

    python -m benchmarks.sample --json sample.json
    python -m benchmarks.sample --no-run --precisions float32

A row is a resolution and a precision; a call maps, truncates and synthesizes one
minibatch with stored noise. `benchmarks.measure` says what XLA's FLOP contain,
`benchmarks.analytic` what they are compared with.
"""

import argparse
import dataclasses
from collections.abc import Sequence

import jax
from jax import Array

from benchmarks import analytic, measure, report
from benchmarks.report import Row, Setting
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator


def measure_row(setting: Setting, args: argparse.Namespace) -> Row:
    """One line of the table."""
    model, resolution, precision, batch_size = setting

    def init(key: Array) -> Generator:
        return make_generator(key, model, resolution)

    def draw_z(key: Array) -> Array:
        return jax.random.normal(key, (batch_size, model.z_dim))

    key = jax.random.key(0)
    with measure.precision(precision):
        lowered = jax.jit(lambda generator, z: generator.sample(z)).lower(
            jax.eval_shape(init, key), jax.eval_shape(draw_z, key)
        )
        sample, cost = measure.compile_with_cost(lowered)
    row = report.make_row(
        setting,
        cost,
        analytic_flop=analytic.sampling_flops(model, resolution),
        leanest_flop=analytic.sampling_flops(model, resolution, fused_from=8),
    )
    if not args.no_run:
        generator, z = jax.jit(init)(key), draw_z(key)
        rates = measure.measure_rates(
            lambda: sample(generator, z),
            cost.lowered_flop,
            measure.make_matmul(precision),
            steps=args.steps,
            seconds=args.seconds,
        )
        peak = measure.peak_device_mib(jax.devices()[0])
        report.add_rates(row, rates, batch_size, peak)
    return row


def make_generator(key: Array, model: ModelConfig, resolution: int) -> Generator:
    """A generator with random weights that draws images of `resolution` pixels."""
    return dataclasses.replace(init_generator(key, model), resolution=resolution)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints one row after the other."""
    parser = report.make_parser("Speed, FLOP and memory of drawing images.")
    report.run(measure_row, parser.parse_args(argv))


if __name__ == "__main__":
    main()
