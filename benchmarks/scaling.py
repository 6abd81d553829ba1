"""What a step of training costs on many devices: bytes sent, FLOP, bytes read.

    python -m benchmarks.scaling                     # every phase, and predictions
    python -m benchmarks.scaling --compile --recipe configs/quickstart.py

`volume` says how many bytes the devices add up in one update. It is arithmetic on the
shapes of the parameters; `--compile` (and `tests/benchmarks/test_scaling.py`) compile
the step for four devices and compare it with the collectives in the program, byte for
byte. `predict` is a model of the time, and no measurement.
"""

import argparse
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import analytic, collectives
from stylegan_jax.commands import recipe_files
from stylegan_jax.distributed import parallel
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import Phase, phases
from stylegan_jax.training.state import OptimizerConfig, TrainState, init_state, select
from stylegan_jax.training.step import make_step

_FLOAT = 4  # bytes
_SCALARS = 5  # metrics: both losses, both scores, R1


@dataclasses.dataclass(frozen=True)
class Volume:
    """Bytes that are added up over all devices in one update, by what they are.

    Attributes:
        generator: gradients of its active parameters.
        discriminator: likewise.
        means: of w, once per network's update.
        scalars: metrics.
    """

    generator: int
    discriminator: int
    means: int
    scalars: int

    @property
    def gradients(self) -> int:
        """Both networks' gradients, once."""
        return self.generator + self.discriminator

    @property
    def total(self) -> int:
        """All of it."""
        return sum(dataclasses.astuple(self))


def volume(model: ModelConfig, phase: Phase) -> Volume:
    """What one update of a phase adds up, for the logistic loss with R1 on reals."""
    state = _abstract_state(model)
    g_params, d_params = select((state.g_params, state.d_params), phase)
    return Volume(
        generator=_FLOAT * _size(g_params),
        discriminator=_FLOAT * _size(d_params),
        means=_FLOAT * 2 * model.w_dim,
        scalars=_FLOAT * _SCALARS,
    )


@functools.cache
def _abstract_state(model: ModelConfig) -> TrainState:
    """The state's shapes; tracing takes seconds."""
    return jax.eval_shape(
        lambda key: init_state(key, model, OptimizerConfig()), jax.random.key(0)
    )


def _size(params: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def compiled_volume(model: ModelConfig, phase: Phase, num_devices: int = 4) -> int:
    """Bytes of all collectives of one update, read from the compiled program.

    Needs so many devices; on a CPU they can be pretended
    (`--xla_force_host_platform_device_count`).
    """
    phase = dataclasses.replace(phase, repeats=1)
    mesh = parallel.make_mesh(num_devices)
    step = make_step(model, LossConfig(), OptimizerConfig(), phase, mesh)
    lead = (phase.repeats * phase.d_steps, phase.batch_size)
    size = (phase.resolution, phase.resolution, model.num_channels)
    batch = {
        "images": jax.ShapeDtypeStruct((*lead, *size), "uint8"),
        "labels": jax.ShapeDtypeStruct((*lead, model.label_size), "float32"),
    }
    state = _abstract_state(model)
    program = step.lower(state, batch, jax.random.key(0)).compile()  # type: ignore[attr-defined]
    return sum(found.num_bytes for found in collectives.read(program.as_text()))


# --- Predictions -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Machine:
    """What is published of a kind of accelerator.

    Attributes:
        name: of the kind.
        flops: per second and device, at the precision that JAX multiplies in.
        bandwidth: devices -> bytes per second that one can send while all do.
    """

    name: str
    flops: float
    bandwidth: Callable[[int], float]


# Google Cloud, "TPU v4": 275 TFLOP/s (bfloat16) a chip; all-reduce bandwidth of a pod
# of 4,096 chips 1.1 PB/s, so 269 GB/s a chip. v4-N is N / 2 chips.
TPU_V4 = Machine("TPU v4", 275e12, lambda devices: 1.1e15 / 4096)
# NVIDIA H100 SXM5: 494.7 TFLOP/s (TF32, dense), NVLink 900 GB/s, both directions
# together. Nodes of eight (DGX H100) have eight links of 400 Gbit/s, and as
# many rings share out what is sent between them.
H100 = Machine("H100", 494.7e12, lambda devices: 450e9 if devices <= 8 else 8 * 50e9)

# Assumptions, not measurements: the part of those FLOP that convolutions reach, and
# the time of one all-reduce of nothing.
_REACHED = 0.3
_LATENCY = 50e-6
_ALL_REDUCES = 2  # per update; XLA joins the arrays of each network's


def predict(
    model: ModelConfig,
    phase: Phase,
    machine: Machine,
    devices: int,
    *,
    batch_size: int | None = None,
) -> tuple[float, float]:
    """Seconds of an update's arithmetic, and of its all-reduces.

    A ring passes every byte twice but for one share. Nothing is taken to overlap,
    so this is the worst that the links can do; it leaves out whatever does not shrink
    with the share of a device, such as the time to start thousands of small kernels.

    Args:
        model: of the networks.
        phase: of the schedule.
        machine: the accelerator.
        devices: how many.
        batch_size: instead of the phase's.
    """
    flop = analytic.training_flops(model, phase.resolution, fading=phase.fading)
    flop *= batch_size or phase.batch_size
    num_bytes = volume(model, phase).total
    compute = flop / (devices * machine.flops * _REACHED)
    ring = 2 * (devices - 1) / devices * num_bytes / machine.bandwidth(devices)
    return compute, ring + _ALL_REDUCES * _LATENCY * (devices > 1)


def efficiency(times: tuple[float, float]) -> float:
    """The part of the time that is arithmetic, 0 to 1."""
    return times[0] / sum(times)


# --- Tables ------------------------------------------------------------------------


def cost_table(model: ModelConfig, every: Sequence[Phase], *, compiled: bool) -> str:
    """Markdown: a line per phase."""
    extra, rule = (" in the program |", "---|") if compiled else ("", "")
    lines = [
        "| phase | minibatch | gradients | added up | GFLOP | read |" + extra,
        "|---|---|---|---|---|---|" + rule,
    ]
    for phase in every:
        sent = volume(model, phase)
        flop = analytic.training_flops(model, phase.resolution, fading=phase.fading)
        read = phase.batch_size * phase.resolution**2 * model.num_channels
        line = (
            f"| {phase.title} | {phase.batch_size} | {_mb(sent.gradients)} | "
            f"{_mb(sent.total)} | {flop * phase.batch_size / 1e9:,.0f} | {_mb(read)} |"
        )
        if compiled:
            line += f" {compiled_volume(model, phase):,} (of {sent.total:,}) |"
        lines.append(line)
    return "\n".join(lines)


def efficiency_table(
    model: ModelConfig,
    every: Sequence[Phase],
    machine: Machine,
    counts: Sequence[int],
    *,
    least: int = 1,
) -> str:
    """Markdown: a line per stable phase, a column per number of devices.

    Args:
        model: of the networks.
        every: phases of the schedule.
        machine: the accelerator.
        counts: numbers of devices.
        least: images per device: minibatches grow to it where they are smaller. With
            0 they do not, and there is nothing where they cannot be shared out.
    """
    head = "| resolution, minibatch | " + " | ".join(map(str, counts)) + " |"
    lines = [head, "|---" * (len(counts) + 1) + "|"]
    for phase in (phase for phase in every if not phase.fading):
        cells = []
        for devices in counts:
            batch_size = max(phase.batch_size, least * devices)
            if batch_size % devices:
                cells.append("-")
                continue
            times = predict(model, phase, machine, devices, batch_size=batch_size)
            cells.append(f"{100 * efficiency(times):.0f}")
        lines.append(
            f"| {phase.resolution}, {phase.batch_size} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("configs/ffhq1024.py"))
    parser.add_argument("--compile", action="store_true", help="compare with XLA")
    args = parser.parse_args()
    config = recipe_files.load_recipe(args.recipe)
    every = phases(config.schedule, config.model.resolution)
    print(cost_table(config.model, every, compiled=args.compile))
    chips = (4, 8, 16, 32, 64, 128, 256)
    for machine, counts in ((TPU_V4, chips), (H100, (8, 16, 32, 64))):
        for least in (0, 4):
            print(f"\n{machine.name}, at least {least} images a device\n")
            print(efficiency_table(config.model, every, machine, counts, least=least))


if __name__ == "__main__":
    main()
