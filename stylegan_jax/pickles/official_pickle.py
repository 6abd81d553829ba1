"""Dialect of official network pickles: permitted names and their stand-ins.

Source: `Network.__getstate__` in NVlabs/stylegan, `dnnlib/tflib/network.py` (state
versions 3, and 4 where the StyleGAN2 repository wrote its "config a"), and `tfutil.py`
in tkarras/progressive_growing_of_gans (version 2, without components); how NumPy
pickles arrays.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.pickles.pickle_machine import (
    Dialect,
    Global,
    Machine,
    UnsafePickleError,
    require,
    shown,
)

MAX_OPCODES = 200_000  # the largest official file, FFHQ at 1024, has about 10 thousand
MAX_TEXT = 1000  # characters of a name or of a string setting
MAX_SETTINGS = 1000  # values in all static_kwargs of one network
MAX_COMPONENTS = 8
STATE_VERSIONS = (2, 3, 4)

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
_STATE = {
    "version": int,
    "name": str,
    "static_kwargs": {},
    "components": {},
    "build_module_src": str,
    "build_func_name": str,
    "variables": list,
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


@dataclasses.dataclass(kw_only=True)
class PickledNetwork:
    """One pickled `Network`, without its source code."""

    name: str = ""  # "Gs", "G_mapping", ...
    build_func_name: str = ""  # "G_style", "D_basic", ...
    version: int = 3  # 2 ProGAN, 3 StyleGAN, 4 of StyleGAN2; 0 until its state is set
    class_path: str = ""  # "dnnlib.tflib.network.Network" or "tfutil.Network"
    # What was given; the rest are defaults.
    static_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    components: dict[str, "PickledNetwork"] = dataclasses.field(default_factory=dict)
    # By local name, in the official layout.
    variables: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


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
        case PickledNetwork(version=0), dict():
            _set_network(target, state)
        case _:
            raise UnsafePickleError(
                f"sets an unknown state on {type(target).__name__}; refused"
            )


def _make(cls: Global) -> object:
    require(cls.kind in ("network", "dict"), f"makes a new {cls.path}")
    is_network = cls.kind == "network"
    return PickledNetwork(version=0, class_path=cls.path) if is_network else {}


def _set_network(network: PickledNetwork, state: dict[str, Any]) -> None:
    """Fills a network with its state, checked key by key; drops the source code."""
    state = {"components": {}, **state}
    records.check(state, _STATE, "a network state")
    for key in state.keys() - _STATE.keys():
        raise UserError(f"a network state with an unknown {shown(key)}")
    if state["version"] not in STATE_VERSIONS:
        raise UserError(
            f"a network state of version {state['version']}, not one of "
            f"{', '.join(map(str, STATE_VERSIONS))}"
        )
    for key in ("name", "build_func_name"):
        require(len(state[key]) <= MAX_TEXT, f"a network whose {key} is too long")
    components = state["components"]
    require(len(components) <= MAX_COMPONENTS, "too many components")
    for part in components.values():
        whole = isinstance(part, PickledNetwork) and part.version > 0
        require(whole, "a component without a state")
        deep = any(below.components for below in part.components.values())
        require(not deep, "networks nested too deeply")
    network.variables = _variables(state["variables"])
    network.static_kwargs = _plain(state["static_kwargs"], [MAX_SETTINGS], depth=0)
    network.name, network.build_func_name = state["name"], state["build_func_name"]
    network.components, network.version = components, state["version"]


def _variables(pairs: list[Any]) -> dict[str, np.ndarray]:
    variables: dict[str, np.ndarray] = {}
    for pair in pairs:
        match pair:
            case (str(name), Array(np.ndarray() as array)):
                require(len(name) <= MAX_TEXT, "a variable whose name is too long")
                require(name not in variables, f"the variable {shown(name)} twice")
                variables[name] = array
            case _:
                raise UserError("a variable that is not a name with an array")
    return variables


def _plain(value: Any, budget: list[int], *, depth: int) -> Any:
    """A setting as plain data; `budget` is shared by all of a network's."""
    budget[0] -= 1
    require(budget[0] >= 0 and depth <= 4, "too many or too deeply nested settings")
    match value:
        case None | bool() | int() | float():
            return value
        case str() if len(value) <= MAX_TEXT:
            return value
        case list() | tuple():
            return type(value)(_plain(v, budget, depth=depth + 1) for v in value)
        case dict():
            return {k: _plain(v, budget, depth=depth + 1) for k, v in value.items()}
        case Array(np.ndarray() as array) if array.ndim == 0:
            return array.item()
    raise UnsafePickleError("a setting that is no plain value; refused")


DIALECT = Dialect(
    family="StyleGAN pickle",
    names=_NAMES,
    call=call,
    make=_make,
    set_state=set_state,
    max_opcodes=MAX_OPCODES,
)
