"""Checks of a stranger's program (`.jaxexport`), and a try of it in a process apart.

A program may end the process that reads or compiles it: by recursion, by an operation
without a body, by sizes that overflow. So a child, with bounds on memory and time,
reads it, looks at every operation, compiles it and runs it on zeros; only then is it
read here. What passed is remembered by its digest in the cache.

Source of the operations: the StableHLO specification, https://openxla.org/stablehlo.
"""

import hashlib
import importlib.util
import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.extend.mlir import deserialize_portable_artifact, ir
from jax.interpreters import mlir

from stylegan_jax.errors import UserError
from stylegan_jax.io import cache, program_files, records

MAX_FILE_BYTES = 1 << 32
SECONDS = 120  # of computing, for reading, compiling and a first image
_PATIENCE = 10  # times as long where other programs take the processors
_FREE_BYTES = 4 << 30  # of memory for JAX and a small program; larger files take more
_BYTES_PER_BYTE = 8
_MAX_DEPTH = 100  # of conditionals, loops and calls in each other
_MAX_OPERATIONS = 1_000_000  # with every call's own
_MAX_ARRAY_BYTES = 1 << 35

# Arithmetic, control flow, and moving elements. Left out are those that wait for
# others or call out: infeed, send, all_reduce, composite and their like.
_STABLEHLO = """
    abs add and atan2 batch_norm_grad batch_norm_inference batch_norm_training
    bitcast_convert broadcast broadcast_in_dim case cbrt ceil cholesky clamp compare
    complex concatenate constant convert convolution cosine count_leading_zeros
    custom_call divide dot dot_general dynamic_broadcast_in_dim dynamic_conv
    dynamic_gather dynamic_iota dynamic_pad dynamic_reshape dynamic_slice
    dynamic_update_slice exponential exponential_minus_one fft floor gather
    get_dimension_size if imag iota is_finite log log_plus_one logistic map maximum
    minimum multiply negate not optimization_barrier or pad popcnt power real
    real_dynamic_slice reduce reduce_precision reduce_window remainder reshape return
    reverse rng rng_bit_generator round_nearest_afz round_nearest_even rsqrt scatter
    select select_and_scatter shift_left shift_right_arithmetic shift_right_logical
    sign sine slice sort sqrt subtract tan tanh transpose triangular_solve while xor
"""
_CHLO = """
    acos acosh asin asinh atan atanh bessel_i1e conj constant constant_like cosh
    digamma erf erf_inv erfc is_inf is_neg_inf is_pos_inf lgamma next_after polygamma
    sinh square tan top_k zeta
"""
_ALLOWED = frozenset(
    {"func.func", "func.call", "func.return"}
    | {f"stablehlo.{name}" for name in _STABLEHLO.split()}
    | {f"chlo.{name}" for name in _CHLO.split()}
)
# Targets of `custom_call`: assertions and array operations by other names.
_TARGETS = frozenset(
    {"shape_assertion", "Sharding", "mhlo.topk", "mhlo.erf"}
    | {"stablehlo.dynamic_reduce_window", "stablehlo.dynamic_rng_bit_generator"}
    | {"stablehlo.dynamic_top_k"}
)
_CALLED = "called_computations"


class RefusedProgramError(UserError):
    """A program does what it may not; the message says what, not which file."""


# --- What a program consists of ----------------------------------------------------


def check_operations(program: export.Exported) -> None:
    """Looks at a program and at its derivative, if there is one.

    Raises:
        RefusedProgramError: see there.
    """
    _check_module(program)
    if program.has_vjp():
        _check_module(program.vjp())


def _check_module(program: export.Exported) -> None:
    with mlir.make_ir_context():
        module = deserialize_portable_artifact(program.mlir_module_serialized)
        functions: dict[str, Any] = {}
        for operation in module.body:
            if operation.operation.name != "func.func":
                raise RefusedProgramError(f"holds {_shown(operation.operation.name)}")
            name = ir.StringAttr(operation.attributes["sym_name"]).value
            if name in functions or not len(operation.regions[0].blocks):
                raise RefusedProgramError(
                    f"has a function {_shown(name)} that is there twice or without body"
                )
            functions[name] = operation.operation
        if "main" not in functions:
            raise RefusedProgramError("has no function main")
        _check_signature(program, functions["main"])
        calls = {name: _look(name, each) for name, each in functions.items()}
    _check_calls(calls)


def _check_signature(program: export.Exported, main: Any) -> None:
    """What the file says of arguments and results is what its program has."""
    kept = [program.in_avals[i] for i in program.module_kept_var_idx]
    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    for avals, types in ((kept, kind.inputs), (program.out_avals, kind.results)):
        # Before them come the platform and what symbols stand for.
        own = types[len(types) - len(avals) :] if len(avals) <= len(types) else []
        if len(own) != len(avals) or not all(map(_fits, avals, own)):
            raise RefusedProgramError("has other arguments or results than it says")


def _fits(aval: Any, found: Any) -> bool:
    if not isinstance(found, ir.RankedTensorType) or found.rank != len(aval.shape):
        return False
    if str(found.element_type) != str(mlir.dtype_to_ir_type(aval.dtype)):
        return False
    sizes = [None if found.is_dynamic_dim(i) else n for i, n in enumerate(found.shape)]
    return all(
        size is None or not isinstance(said, int) or size == said
        for size, said in zip(sizes, aval.shape, strict=True)
    )


def _look(name: str, function: Any) -> tuple[int, int, list[tuple[str, int]]]:
    """Operations of a function, how deep they nest, and its calls with their depth."""
    count, deepest, calls = 0, 0, []
    for operation, depth in _operations(function):
        count, deepest = count + 1, max(deepest, depth)
        kind = operation.name
        if kind not in _ALLOWED or (kind == "func.func" and depth):
            raise RefusedProgramError(f"holds {_shown(kind)}, no array operation")
        if depth > _MAX_DEPTH or count > _MAX_OPERATIONS:
            raise RefusedProgramError(
                f"nests {depth} deep or has {count} operations in {_shown(name)}"
            )
        if kind == "func.call":
            callee = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
            calls.append((callee, depth))
        if kind == "stablehlo.custom_call":
            _check_target(operation)
        for result in operation.results:
            _check_size(result.type)
    return count, deepest, calls


def _operations(function: Any) -> Iterator[tuple[Any, int]]:
    """Every operation with its depth, without recursion."""
    waiting = [(function, 0)]
    while waiting:
        operation, depth = waiting.pop()
        yield operation, depth
        for region in operation.regions:
            for block in region.blocks:
                waiting += [(each.operation, depth + 1) for each in block.operations]


def _check_target(operation: Any) -> None:
    target = ir.StringAttr(operation.attributes["call_target_name"]).value
    called = "called_computations"
    if target not in _TARGETS or (
        called in operation.attributes
        and len(ir.ArrayAttr(operation.attributes[called]))
    ):
        raise RefusedProgramError(
            f"calls {_shown(target)}, which is outside the program and not trusted"
        )


def _check_size(kind: Any) -> None:
    if not isinstance(kind, ir.RankedTensorType):
        raise RefusedProgramError(f"holds a value {_shown(str(kind))}")
    sizes = [n for i, n in enumerate(kind.shape) if not kind.is_dynamic_dim(i)]
    if len(kind.shape) > 32 or math.prod(sizes) > _MAX_ARRAY_BYTES // 4:
        raise RefusedProgramError(f"holds an array {_shown(str(kind))}")


def _check_calls(functions: dict[str, tuple[int, int, list[tuple[str, int]]]]) -> None:
    """No function calls itself, and calls written out stay within the bounds."""
    sizes: dict[str, tuple[int, int]] = {}  # operations and depth with all calls
    entered: set[str] = set()
    waiting = ["main"]
    while waiting:
        name = waiting[-1]
        if name in sizes:
            waiting.pop()
            continue
        if name not in functions:
            raise RefusedProgramError(f"calls {_shown(name)}, which is not there")
        count, deepest, calls = functions[name]
        missing = {callee for callee, _ in calls} - sizes.keys()
        if name in entered and missing:
            raise RefusedProgramError(
                f"has a function {_shown(name)} that calls itself"
            )
        entered.add(name)
        if missing:
            waiting += missing
            continue
        count += sum(sizes[callee][0] for callee, _ in calls)
        deepest = max([deepest, *(depth + sizes[callee][1] for callee, depth in calls)])
        if count > _MAX_OPERATIONS or deepest > _MAX_DEPTH:
            raise RefusedProgramError(
                f"nests {deepest} deep or has {count} operations with all calls"
            )
        sizes[name] = count, deepest


def _shown(text: str) -> str:
    return ascii(text[:60])


# --- The try -----------------------------------------------------------------------


def require(
    path: Path,
    shapes: Sequence[Sequence[int]] | None = None,
    *,
    again: str,
    digest: str | None = None,
) -> str:
    """Lets a child read a program and, with shapes, run it on zeros of them.

    Args:
        path: of the file.
        shapes: of the arguments; None only reads it.
        again: what writes such a file, for the message.
        digest: its SHA-256 if that is known; else the file is read for it.

    Returns:
        The SHA-256.

    Raises:
        UserError: it is damaged, refused, or ends the process or its bounds; or the
            package flatbuffers is missing.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise program_files.missing()
    try:
        if digest is None:
            data = records.read_bytes(path, MAX_FILE_BYTES)
            digest = hashlib.sha256(data).hexdigest()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    how = json.dumps(None if shapes is None else [list(shape) for shape in shapes])
    key = hashlib.sha256(f"{digest} {how} {jax.__version__} 1".encode()).hexdigest()
    passed = cache.folder("programs") / key
    if not passed.exists():
        if (reason := _tried(path, how)) is not None:
            raise UserError(
                f"{path} {reason}; write it again, of plain array operations, with "
                f"{again}"
            )
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()
    return digest


def _tried(path: Path, shapes: str) -> str | None:
    """What is wrong with a program, None if nothing is."""
    max_bytes = _FREE_BYTES + _BYTES_PER_BYTE * path.stat().st_size
    bounds = [str(max_bytes), str(SECONDS)]
    words = [sys.executable, "-m", __name__, str(path), shapes, *bounds]
    found = Path(__file__).resolve().parents[2]
    # One CPU process: the accelerators are this process's.
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(found), os.environ.get("PYTHONPATH", "")]),
    }
    too_long = f"takes more than {SECONDS} seconds for a first image"
    try:
        done = subprocess.run(
            words,
            env=environment,
            capture_output=True,
            timeout=_PATIENCE * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return too_long
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    if done.returncode == -signal.SIGXCPU:
        return too_long
    return f"ends the process that runs it (status {done.returncode})"


def _main(path: str, shapes: str, max_bytes: str, seconds: str) -> None:
    """The child: prints what is wrong as JSON, null if nothing is."""
    for kind, limit in [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, int(max_bytes)),
        (resource.RLIMIT_CPU, int(seconds)),
    ]:
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, hard))
    print(json.dumps(problem(path, json.loads(shapes))), flush=True)
    os._exit(0)


def problem(path: str, shapes: list[list[int]] | None) -> str | None:
    """What is wrong with a program, found in this process, which it may end."""
    try:
        program = export.deserialize(bytearray(Path(path).read_bytes()))
        check_operations(program)
    except RefusedProgramError as error:
        return str(error)
    except Exception as error:  # those of flatbuffers and MLIR have no common class
        return f"is damaged or no jax.export file ({_reason(error)})"
    if shapes is None or "cpu" not in program.platforms:
        return None
    zeros = [
        jnp.zeros(shape, aval.dtype)
        for shape, aval in zip(shapes, program.in_avals, strict=True)
    ]
    try:
        jax.block_until_ready(jax.jit(program.call)(*zeros))
        if program.has_vjp():
            total = jax.grad(lambda *taken: program.call(*taken).sum())
            jax.block_until_ready(jax.jit(total)(*zeros))
    except Exception as error:  # XLA's, of memory, of shapes that it does not take
        return f"refuses these images: {_reason(error)}"
    return None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    _main(*sys.argv[1:])
