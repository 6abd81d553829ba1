"""What XLA says that a program costs, and how long it takes.

FLOP figures are XLA's own cost analysis, which reads a program and runs nothing. It
has these habits, which `tests/benchmarks/test_flops.py` holds on to:

- Matrix products and convolutions count two operations per multiply-accumulate, but
  taps that fall on a convolution's zero padding do not count, so a 3x3 convolution of
  4x4 pixels counts 100 taps, not 144.
- Every other operation counts one per element: activations, normalisations, blurs,
  gradients' sums, random numbers, the optimizer and the moving average. `exp`, `log`,
  `rsqrt` and their like are left out (a separate figure, below 1/10000 of the whole).
- The body of a loop counts once, whatever the number of iterations: a training step
  of several minibatches counts as one of them.
- What a fusion computes several times over counts several times.

There are two figures: `lowered` of the program as traced, the same on every machine,
and `compiled` of the program after XLA's optimisations. The latter may lack what XLA
hands to a library (cuDNN, cuBLAS); where it is far below the former, it does.
"""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# name: type of activations, precision of matrix products of float32.
PRECISIONS = {
    "float32": ("float32", "highest"),
    "default": ("float32", "default"),  # TF32 on NVIDIA, bfloat16 on TPU
    "bfloat16": ("bfloat16", "default"),
}
_MIB = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a compiled program needs, by XLA's account.

    Attributes:
        lowered_flop: of the program before optimisation.
        compiled_flop: after optimisation.
        transcendentals: `exp` and the like, after optimisation; not in the others.
        argument_mib: of all arguments.
        temp_mib: intermediate results, at most.
        peak_mib: arguments, results that do not take their place, and `temp_mib`.
        compile_seconds: that XLA took (less if it was in its cache).
    """

    lowered_flop: float
    compiled_flop: float
    transcendentals: float
    argument_mib: float
    temp_mib: float
    peak_mib: float
    compile_seconds: float


@contextlib.contextmanager
def precision(name: str) -> Iterator[str]:
    """Sets the precision of matrix products; yields the type of activations."""
    dtype, matmul_precision = PRECISIONS[name]
    with jax.default_matmul_precision(matmul_precision):
        yield dtype


def compile_with_cost(lowered: Any) -> tuple[Callable[..., Any], Cost]:
    """Compiles what `jax.jit(...).lower(...)` returned."""
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    analysis = _single(compiled.cost_analysis())
    memory = compiled.memory_analysis()
    own_output = memory.output_size_in_bytes - memory.alias_size_in_bytes
    used = memory.argument_size_in_bytes + own_output + memory.temp_size_in_bytes
    return compiled, Cost(
        lowered_flop=_single(lowered.cost_analysis()).get("flops", 0.0),
        compiled_flop=analysis.get("flops", 0.0),
        transcendentals=analysis.get("transcendentals", 0.0),
        argument_mib=memory.argument_size_in_bytes / _MIB,
        temp_mib=memory.temp_size_in_bytes / _MIB,
        peak_mib=used / _MIB,
        compile_seconds=seconds,
    )


def peak_device_mib(device: Any) -> float | None:
    """Most memory in use on a JAX device since the program began; None if unknown.

    The backends of GPUs and TPUs keep count, that of CPUs does not.
    """
    stats = device.memory_stats()
    if not stats or "peak_bytes_in_use" not in stats:
        return None
    return stats["peak_bytes_in_use"] / _MIB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matmul:
    """A square matrix product to measure a machine by.

    Attributes:
        run: does it once; returns an array to wait for.
        flop: of one run.
    """

    run: Callable[[], Array]
    flop: float


def make_matmul(name: str, size: int | None = None) -> Matmul:
    """A matrix product in the type and precision `name`, compiled.

    Args:
        name: a key of `PRECISIONS`.
        size: of the matrices; None takes 8192, on CPUs 1024.
    """
    if size is None:
        size = 1024 if jax.default_backend() == "cpu" else 8192
    with precision(name) as dtype:
        keys = jax.random.split(jax.random.key(0))
        a, b = (jax.random.normal(key, (size, size)).astype(dtype) for key in keys)
        product = jax.jit(jnp.matmul).lower(a, b).compile()
    return Matmul(run=lambda: product(a, b), flop=2.0 * size**3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates:
    """Medians over several calls, made in turn with matrix products.

    Attributes:
        seconds: per call.
        matmul_flops: FLOP per second of the matrix products.
        share: median of the quotients of neighbours, the program's FLOP per second by
            the matrix product's.
        calls: that were timed.
    """

    seconds: float
    matmul_flops: float
    share: float
    calls: int


def measure_rates(
    call: Callable[[], Any],
    flop: float,
    matmul: Matmul,
    *,
    steps: int,
    seconds: float,
) -> Rates:
    """Times calls side by side with matrix products.

    Other programs on the machine slow both of a pair down, so the share is steadier
    than the times.

    Args:
        call: does the work once; returns something to wait for.
        flop: of one call.
        matmul: what to compare with.
        steps: pairs at most.
        seconds: after which no further pair begins, once there are three.
    """
    seconds_of(call)  # the first calls are slower
    seconds_of(matmul.run)
    calls: list[float] = []
    matmuls: list[float] = []
    end = time.perf_counter() + seconds
    while len(calls) < steps and (len(calls) < 3 or time.perf_counter() < end):
        calls.append(seconds_of(call))
        matmuls.append(statistics.median(seconds_of(matmul.run) for _ in range(3)))
    pairs = zip(calls, matmuls, strict=True)
    return Rates(
        seconds=statistics.median(calls),
        matmul_flops=matmul.flop / statistics.median(matmuls),
        share=statistics.median((flop / c) / (matmul.flop / m) for c, m in pairs),
        calls=len(calls),
    )


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall time of one call, its result included."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def _single(analysis: Any) -> dict[str, float]:
    # Some versions of JAX return one dictionary per device.
    if isinstance(analysis, list):
        analysis = analysis[0] if analysis else {}
    return analysis or {}
