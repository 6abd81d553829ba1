"""Dialect of official network pickles: permitted names and their stand-ins.

Source: `Network.__getstate__` in NVlabs/stylegan, `dnnlib/tflib/network.py`, and how
NumPy pickles arrays.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.pickles.pickle_machine import (
    Dialect,
    Global,
    Machine,
    UnsafePickleError,
    require,
    shown,
)

MAX_OPCODES = 200_000  # the largest official file, FFHQ at 1024, has about 10 thousand

NETWORK_CLASSES = (
    ("dnnlib.tflib.network", "Network"),
    ("dnnlib.tflib", "Network"),
    ("tfutil", "Network"),
)
_NAMES: dict[tuple[str, str], str] = {
    **dict.fromkeys(NETWORK_CLASSES, "network"),
    ("dnnlib.util", "EasyDict"): "dict",
    ("dnnlib", "EasyDict"): "dict",
    ("collections", "OrderedDict"): "dict",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("_codecs", "encode"): "encode",  # how protocol 2 of Python 3 writes bytes
}
_DTYPES = {f"{kind}{size}" for kind in "fiu" for size in (2, 4, 8)} | {"i1", "u1", "b1"}


@dataclasses.dataclass
class Dtype:
    """A number type."""

    value: np.dtype


@dataclasses.dataclass
class Array:
    """A NumPy array; None until its state is set."""

    value: np.ndarray | None = None


@dataclasses.dataclass
class Network:
    """A `Network` object; no state until it is set."""

    class_path: str
    state: dict[str, Any] | None = None


def to_array(
    machine: Machine, data: Any, dtype: Any, shape: Any, *, fortran: bool
) -> Array:
    """Array over bytes of the file; sizes must agree before any allocation."""
    if isinstance(data, str):  # bytes as Python 2 wrote them
        data = data.encode("latin1")
    require(isinstance(data, bytes | bytearray), "an array without raw data")
    require(isinstance(dtype, Dtype), "an array without a number type")
    require(
        isinstance(shape, tuple)
        and len(shape) <= 8
        and all(type(dim) is int and 0 <= dim < 1 << 31 for dim in shape),
        "an array with an odd shape",
    )
    count = math.prod(shape)
    if len(data) != count * dtype.value.itemsize:
        raise UserError(
            f"an array of shape {shape} and type {dtype.value} has {len(data)} bytes "
            "of data"
        )
    machine.spend(len(data))
    flat = np.frombuffer(bytes(data), dtype.value) if count else np.empty(0)
    array = flat.astype(dtype.value.newbyteorder("="), copy=False)
    return Array(array.reshape(shape, order="F" if fortran else "C"))


def call(machine: Machine, function: Global, args: tuple[Any, ...]) -> object:
    """REDUCE: one of the few functions a network pickle applies to its data."""
    match function.kind, args:
        case "dict", ():
            return {}
        case "dtype", (str(code), *flags) if code.lstrip("<>=|") in _DTYPES:
            require(len(flags) <= 2 and all(f in (0, 1) for f in flags), "odd dtype")
            return Dtype(np.dtype(code))
        case "reconstruct", (Global("ndarray"), (0,), b"b" | "b"):
            return Array()
        case "scalar", (dtype, data):
            return to_array(machine, data, dtype, (), fortran=False)
        case "frombuffer", (data, dtype, shape, "C" | "F" as order):
            return to_array(machine, data, dtype, shape, fortran=order == "F")
        case "encode", (str(text), "latin1"):
            machine.spend(len(text))
            return text.encode("latin1")
    if function.kind == "dtype" and args and isinstance(args[0], str):
        raise UnsafePickleError(
            f"an array of type {shown(args[0])}, but networks hold plain numbers; "
            "refused"
        )
    raise UnsafePickleError(f"an odd call of {function.kind}; refused, not run")


def set_state(machine: Machine, target: object, state: object) -> None:
    """BUILD: stand-ins only, each with its one layout."""
    match target, state:
        case Array(None), (1, shape, dtype, bool(fortran), data):
            built = to_array(machine, data, dtype, shape, fortran=fortran)
            target.value = built.value
        case Dtype(), (3, "<" | ">" | "=" | "|" as order, None, None, None, -1, -1, 0):
            target.value = target.value.newbyteorder(order)
        case Network(_, None), dict():
            target.state = state
        case _:
            raise UnsafePickleError(
                f"sets an unknown state on {type(target).__name__}; refused"
            )


def _make(cls: Global) -> object:
    require(cls.kind in ("network", "dict"), f"makes a new {cls.path}")
    return Network(cls.path) if cls.kind == "network" else {}


DIALECT = Dialect(
    family="StyleGAN pickle",
    names=_NAMES,
    call=call,
    make=_make,
    set_state=set_state,
    max_opcodes=MAX_OPCODES,
)
