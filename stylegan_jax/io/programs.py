"""Programs of `jax.export` in files (`.jaxexport`), checked before they are read.

They hold StableHLO, neither Python nor a pickle. Still an untrusted program may end the
process that reads it, by recursion, an operation without a body, or overflowing sizes.
So a child process, with bounds on memory and time, checks every operation, compiles it
and runs it on zeros; digests of programs that passed are cached.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export
from jax.extend.mlir import deserialize_portable_artifact, ir
from jax.interpreters import mlir

from stylegan_jax.errors import UserError, in_a_line
from stylegan_jax.io import cache, records
from stylegan_jax.io.atomic import atomic_write

SUFFIX = ".jaxexport"
SECONDS = 120  # of computing, for reading, compiling and a first image
_MAX_FILE_BYTES = 1 << 32
_PATIENCE = 10  # wall-clock time over CPU time, on busy machines
_FREE_BYTES = 4 << 30  # of memory for JAX and a small program; larger files take more
_BYTES_PER_BYTE = 8
_DAMAGED = "is damaged or no jax.export file"
_MAX_DEPTH = 100  # of conditionals, loops and calls in each other
_MAX_OPERATIONS = 1_000_000  # with every call's own
_MAX_NUMBERS = 1 << 33  # of an array

# Arithmetic, control flow, and moving elements; none that communicates or calls out
# (infeed, send, all_reduce, composite, ...).
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


def write(
    path: str | os.PathLike[str], program: export.Exported, *, vjp_order: int = 0
) -> None:
    """Writes a program and `vjp_order` derivatives; UserError without `flatbuffers`."""
    _need_flatbuffers()
    atomic_write(Path(path), bytes(program.serialize(vjp_order=vjp_order)))


def read(path: str | os.PathLike[str], *, again: str) -> export.Exported:
    """Reads a program and its derivative, if there is one; nothing of it is run.

    UserError, with the command `again` that writes such files, if it cannot be read.
    """
    _need_flatbuffers()
    try:
        program = export.deserialize(bytearray(Path(path).read_bytes()))
        program.mlir_module()  # the program within is read only now
        if program.has_vjp():
            program.vjp().mlir_module()
    except Exception as error:  # flatbuffers and MLIR have no common class
        raise UserError(
            f"{path} {_DAMAGED} ({in_a_line(error)}); write it again with {again}"
        ) from error
    return program


def _need_flatbuffers() -> None:
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError(
            "files of jax.export need the package flatbuffers; pip install "
            "'stylegan_jax[export]'"
        )


def require(
    path: Path,
    shapes: Sequence[Sequence[int]] | None = None,
    *,
    again: str,
    digest: str | None = None,
) -> str:
    """Checks a program in a child process; returns its SHA-256, `digest` if known.

    Without `shapes` of the arguments it is only read, not run on zeros. UserError, with
    the command `again` that writes such files, if damaged, rejected or out of bounds.
    """
    _need_flatbuffers()
    try:
        if digest is None:
            data = records.read_bytes(path, _MAX_FILE_BYTES)
            digest = hashlib.sha256(data).hexdigest()
    except (OSError, UserError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    how = json.dumps(shapes)
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
    max_bytes = _FREE_BYTES + _BYTES_PER_BYTE * path.stat().st_size
    words = [sys.executable, "-m", __name__, path, shapes, str(max_bytes), str(SECONDS)]
    package = str(Path(__file__).resolve().parents[2])
    places = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    # One CPU process: the accelerators are this process's.
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": places}
    seconds = _PATIENCE * SECONDS
    try:
        done = subprocess.run(
            words, env=environment, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode == -signal.SIGXCPU:
        return f"takes more than {SECONDS} seconds for a first image"
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    return f"ends the process that runs it (status {done.returncode})"


def _child(path: str, shapes: str, max_bytes: str, seconds: str) -> None:
    for kind, limit in [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, int(max_bytes)),
        (resource.RLIMIT_CPU, int(seconds)),
    ]:
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, hard))
    sys.stdout.write(json.dumps(problem(path, json.loads(shapes))) + "\n")
    sys.stdout.flush()
    os._exit(0)


def problem(path: str, shapes: list[list[int]] | None) -> str | None:
    """The problem of a program, or None; run in this process, which it may end."""
    try:
        program = export.deserialize(bytearray(Path(path).read_bytes()))
        check_operations(program)
    except RejectedProgramError as error:
        return str(error)
    except Exception as error:  # those of flatbuffers and MLIR have no common class
        return f"{_DAMAGED} ({in_a_line(error)})"
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
        return f"refuses these images: {in_a_line(error)}"
    return None


# --- Operations --------------------------------------------------------------------


class RejectedProgramError(UserError):
    """A program with forbidden content; the message does not name the file."""


class _Function(NamedTuple):
    count: int  # operations
    depth: int  # of nesting
    calls: list[tuple[str, int]]  # with their depth


def check_operations(program: export.Exported) -> None:
    """Raises RejectedProgramError for forbidden content, also of the derivative."""
    for each in [program, program.vjp()] if program.has_vjp() else [program]:
        with mlir.make_ir_context():
            module = deserialize_portable_artifact(each.mlir_module_serialized)
            functions: dict[str, _Function] = {}
            for top in module.body:
                if top.operation.name != "func.func":
                    raise RejectedProgramError(f"holds {_shown(top.operation.name)}")
                name = ir.StringAttr(top.attributes["sym_name"]).value
                if name in functions or not len(top.regions[0].blocks):
                    raise RejectedProgramError(
                        f"has a function {_shown(name)} twice or without body"
                    )
                if name == "main":
                    _check_signature(each, top)
                functions[name] = _look(name, top.operation)
        _check_calls("main", functions, {}, ())


def _check_signature(program: export.Exported, main: Any) -> None:
    kept = [program.in_avals[i] for i in program.module_kept_var_idx]
    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    for avals, types in ((kept, kind.inputs), (program.out_avals, kind.results)):
        # The platform and the values of symbols come first.
        own = types[len(types) - len(avals) :] if len(avals) <= len(types) else []
        if len(own) != len(avals) or not all(map(_fits, avals, own)):
            raise RejectedProgramError("has other arguments or results than it says")


def _fits(aval: Any, found: Any) -> bool:
    if not isinstance(found, ir.RankedTensorType) or found.rank != len(aval.shape):
        return False
    return str(found.element_type) == str(mlir.dtype_to_ir_type(aval.dtype)) and all(
        found.is_dynamic_dim(i) or not isinstance(said, int) or found.shape[i] == said
        for i, said in enumerate(aval.shape)
    )


def _look(name: str, function: Any) -> _Function:
    """Checks the operations of a function, but not those of others that it calls."""
    count, deepest, calls = 0, 0, []
    waiting = [(function, 0)]
    while waiting:
        operation, depth = waiting.pop()
        count, deepest = count + 1, max(deepest, depth)
        kind, attributes = operation.name, operation.attributes
        if kind not in _ALLOWED or (kind == "func.func" and depth):
            raise RejectedProgramError(f"holds {_shown(kind)}, no array operation")
        if depth > _MAX_DEPTH or count > _MAX_OPERATIONS:
            raise RejectedProgramError(
                f"nests {depth} deep or has {count} operations in {_shown(name)}"
            )
        if kind == "func.call":
            callee = ir.FlatSymbolRefAttr(attributes["callee"]).value
            calls.append((callee, depth))
        if kind == "stablehlo.custom_call":
            target = ir.StringAttr(attributes["call_target_name"]).value
            called = "called_computations"
            others = called in attributes and len(ir.ArrayAttr(attributes[called]))
            if target not in _TARGETS or others:
                raise RejectedProgramError(
                    f"calls {_shown(target)}, which is outside the program and not "
                    "trusted"
                )
        for result in operation.results:
            made = result.type
            if not isinstance(made, ir.RankedTensorType):
                raise RejectedProgramError(f"holds a value {_shown(str(made))}")
            sizes = [n for i, n in enumerate(made.shape) if not made.is_dynamic_dim(i)]
            if len(made.shape) > 32 or math.prod(sizes) > _MAX_NUMBERS:
                raise RejectedProgramError(f"holds an array {_shown(str(made))}")
        for region in operation.regions:
            for block in region.blocks:
                waiting += [(each.operation, depth + 1) for each in block.operations]
    return _Function(count, deepest, calls)


def _check_calls(
    name: str,
    functions: dict[str, _Function],
    known: dict[str, tuple[int, int]],
    above: tuple[str, ...],
) -> tuple[int, int]:
    """Operations and depth of a function with its calls written out, in bounds."""
    if name not in functions:
        raise RejectedProgramError(f"has no function {_shown(name)}")
    if name in above:
        raise RejectedProgramError(f"has a function {_shown(name)} that calls itself")
    if name not in known:
        count, deepest, calls = functions[name]
        if len(above) < _MAX_DEPTH:
            for callee, depth in calls:
                more = _check_calls(callee, functions, known, (*above, name))
                count, deepest = count + more[0], max(deepest, depth + more[1])
        if count > _MAX_OPERATIONS or max(deepest, len(above)) >= _MAX_DEPTH:
            raise RejectedProgramError(
                f"nests {deepest} deep or has {count} operations with all calls"
            )
        known[name] = count, deepest
    return known[name]


def _shown(text: str) -> str:
    return ascii(text[:60])


if __name__ == "__main__":
    _child(*sys.argv[1:])
