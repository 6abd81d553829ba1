"""Programs of array operations in files (`.jaxexport`): what `jax.export` makes.

StableHLO and a description of its arguments; neither Python nor a pickle. Reading one
runs nothing. Both directions need the small package `flatbuffers`.
"""

import os
import struct
from pathlib import Path

from jax import export

from stylegan_jax.errors import UserError
from stylegan_jax.io.atomic import atomic_write

SUFFIX = ".jaxexport"


def write(
    path: str | os.PathLike[str], program: export.Exported, *, vjp_order: int = 0
) -> None:
    """Writes a program, and `vjp_order` derivatives of it, atomically.

    Raises:
        UserError: `flatbuffers` is missing.
    """
    try:
        data = program.serialize(vjp_order=vjp_order)
    except ImportError as error:
        raise missing() from error
    atomic_write(Path(path), bytes(data))


def read(path: str | os.PathLike[str], *, again: str) -> export.Exported:
    """Reads a program and its derivative, if there is one.

    Args:
        path: of the file.
        again: what writes such a file, for the message.

    Raises:
        UserError: the file cannot be read, or `flatbuffers` is missing.
    """
    try:
        program = export.deserialize(bytearray(Path(path).read_bytes()))
        program.mlir_module()  # the program within is read only now
        if program.has_vjp():
            program.vjp().mlir_module()
    except ImportError as error:
        raise missing() from error
    except Exception as error:  # flatbuffers and MLIR have no common class
        known = isinstance(error, struct.error | ValueError | OSError)
        detail = str(error).splitlines()[0][:100] if known and str(error) else ""
        raise UserError(
            f"{path} is damaged or no jax.export file "
            f"({detail or type(error).__name__}); write it again with {again}"
        ) from error
    return program


def missing() -> UserError:
    """The error where `flatbuffers` is not installed."""
    return UserError(
        "files of jax.export need the package flatbuffers; pip install "
        "'stylegan_jax[export]'"
    )
