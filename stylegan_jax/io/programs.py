"""Programs of `jax.export` in files (`.jaxexport`), checked before they are read.

They hold StableHLO, neither Python nor a pickle. Still an untrusted program may end the
process that reads it, by recursion, an operation without a body, or overflowing sizes.
So a child process, with bounds on memory and time, checks every operation, compiles it
and runs it on zeros; digests of programs that passed are cached.
"""

import hashlib
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from stylegan_jax.errors import UserError, in_a_line
from stylegan_jax.io import cache, records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.stablehlo import RejectedProgramError, check_operations

SUFFIX = ".jaxexport"
SECONDS = 120  # of computing, for reading, compiling and a first image
_MAX_FILE_BYTES = 1 << 32
_PATIENCE = 10  # wall-clock time over CPU time, on busy machines
_FREE_BYTES = 4 << 30  # of memory for JAX and a small program; larger files take more
_BYTES_PER_BYTE = 8
_DAMAGED = "is damaged or no jax.export file"


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


if __name__ == "__main__":
    _child(*sys.argv[1:])
