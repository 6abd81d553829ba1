"""A pickle machine that builds plain data and calls nothing.

A pickle is a program: the standard library's loader imports what it names and calls
it. Here the program is *read*: the machine executes only the opcodes of `_OPCODES`, on
plain Python data and three kinds of stand-in. What a file may "call" is a fixed list
of names (`_GLOBALS`), each answered by a function of this module that checks its
arguments; nothing is imported, looked up by attribute or called by name. Dictionary
keys are strings, nothing recurses over what the file built, and every allocation is
bounded by the size of the file, so a hostile file costs one error.

Source of the opcodes: the standard library's `pickletools`; of what networks use of
them: `Network.__getstate__` in NVlabs/stylegan, `dnnlib/tflib/network.py`.
"""

import dataclasses
import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from stylegan_jax.common.errors import UserError

MAX_OPCODES = 200_000  # the largest official file, FFHQ at 1024, has about 10 thousand

WANTED = (
    "what can be read are pickles of NVlabs/stylegan (and of the ProGAN of tkarras), "
    "such as karras2019stylegan-ffhq-1024x1024.pkl"
)


class NotAStyleGANPickleError(UserError):
    """The file is not a pickled network this package can read, or is damaged."""


class UnsafePickleError(NotAStyleGANPickleError):
    """The file asks for something to be imported, called or built that is not data."""


def shown(text: object) -> str:
    """Text from a file, made fit for a one-line message."""
    return ascii(str(text)[:100])[1:-1]


def require(condition: bool, what: str) -> None:
    """Raises `UnsafePickleError` about `what` unless the condition holds."""
    if not condition:
        raise UnsafePickleError(f"{what}; refused; {WANTED}")


# --- What a file may name ----------------------------------------------------------

NETWORK_CLASSES = (
    ("dnnlib.tflib.network", "Network"),
    ("dnnlib.tflib", "Network"),
    ("tfutil", "Network"),
)
_GLOBALS: dict[tuple[str, str], str] = {
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
_DTYPES = frozenset(f"{kind}{size}" for kind in "fiu" for size in (2, 4, 8)) | {
    "i1",
    "u1",
    "b1",
}

# Module prefixes that tell what a foreign pickle is.
_FOREIGN = {
    "torch_utils": "a StyleGAN2-ADA-PyTorch or StyleGAN3 pickle, which carries code",
    "training.networks": "a StyleGAN2-ADA-PyTorch pickle, which carries code",
    "torch": "a PyTorch checkpoint",
    "network": "a ProGAN pickle of the Theano version",
    "lasagne": "a Theano model",
    "theano": "a Theano model",
    "keras": "a Keras model",
    "tensorflow": "a TensorFlow object",
    "dnnlib": "a pickle of another NVIDIA project",
    "flax": "a Flax object",
    "jax": "a JAX object",
    "sklearn": "a scikit-learn model",
    "pandas": "a pandas table",
}


@dataclasses.dataclass(frozen=True)
class _Global:
    kind: str
    path: str


def _find_global(module: object, name: object) -> _Global:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise UnsafePickleError(f"a name that is not text; {WANTED}")
    kind = _GLOBALS.get((module, name))
    if kind is not None:
        return _Global(kind, f"{module}.{name}")
    full = shown(f"{module}.{name}")
    for prefix, what in _FOREIGN.items():
        if module == prefix or module.startswith(prefix + "."):
            raise UnsafePickleError(f"names {full}: this looks like {what}; {WANTED}")
    raise UnsafePickleError(
        f"names {full}, which no StyleGAN pickle does and which could run code; "
        f"refused, nothing was run; {WANTED}"
    )


# --- Stand-ins ---------------------------------------------------------------------


@dataclasses.dataclass
class _Dtype:
    value: np.dtype


@dataclasses.dataclass
class Array:
    """A NumPy array; None until its state has been set."""

    value: np.ndarray | None = None


@dataclasses.dataclass
class Network:
    """A `Network` object; no state until it has been set."""

    class_path: str
    state: dict[str, Any] | None = None


@dataclasses.dataclass
class _Machine:
    """The pickle machine: a stack, the stacks below open marks, and the memo."""

    budget: int  # bytes of array data still allowed
    stack: list[Any] = dataclasses.field(default_factory=list)
    below: list[list[Any]] = dataclasses.field(default_factory=list)
    memo: dict[int, Any] = dataclasses.field(default_factory=dict)

    def items(self) -> list[Any]:
        """Closes the last mark and returns what was above it."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def spend(self, num_bytes: int) -> None:
        self.budget -= num_bytes
        if self.budget < 0:
            raise UnsafePickleError(
                f"its arrays would take more memory than the file holds; {WANTED}"
            )


def _to_array(
    machine: _Machine, data: Any, dtype: Any, shape: Any, *, fortran: bool
) -> Array:
    """An array over bytes of the file; the sizes must agree before anything is made."""
    if isinstance(data, str):  # bytes as Python 2 wrote them
        data = data.encode("latin1")
    require(isinstance(data, bytes | bytearray), "an array without raw data")
    require(isinstance(dtype, _Dtype), "an array without a number type")
    require(
        isinstance(shape, tuple)
        and len(shape) <= 8
        and all(type(dim) is int and 0 <= dim < 1 << 31 for dim in shape),
        "an array with an odd shape",
    )
    count = math.prod(shape)
    if len(data) != count * dtype.value.itemsize:
        raise NotAStyleGANPickleError(
            f"an array of shape {shape} and type {dtype.value} has {len(data)} bytes "
            f"of data; {WANTED}"
        )
    machine.spend(len(data))
    flat = np.frombuffer(bytes(data), dtype.value) if count else np.empty(0)
    array = flat.astype(dtype.value.newbyteorder("="), copy=False)
    return Array(array.reshape(shape, order="F" if fortran else "C"))


def _call(machine: _Machine, kind: str, args: tuple[Any, ...]) -> object:
    """Answers one REDUCE: the few functions a network pickle applies to its data."""
    match kind, args:
        case "dict", ():
            return {}
        case "dtype", (str(code), *flags) if code.lstrip("<>=|") in _DTYPES:
            require(len(flags) <= 2 and all(f in (0, 1) for f in flags), "odd dtype")
            return _Dtype(np.dtype(code))
        case "reconstruct", (_Global("ndarray"), (0,), b"b" | "b"):
            return Array()
        case "scalar", (dtype, data):
            return _to_array(machine, data, dtype, (), fortran=False)
        case "frombuffer", (data, dtype, shape, "C" | "F" as order):
            return _to_array(machine, data, dtype, shape, fortran=order == "F")
        case "encode", (str(text), "latin1"):
            machine.spend(len(text))
            return text.encode("latin1")
    if kind == "dtype" and args and isinstance(args[0], str):
        raise UnsafePickleError(
            f"an array of type {shown(args[0])}, but networks hold plain numbers; "
            f"refused; {WANTED}"
        )
    raise UnsafePickleError(f"an odd call of {kind}; refused, not run; {WANTED}")


def _set_state(machine: _Machine, target: object, state: object) -> None:
    """Answers one BUILD, which only the stand-ins accept, each its one layout."""
    match target, state:
        case Array(None), (1, shape, dtype, bool(fortran), data):
            built = _to_array(machine, data, dtype, shape, fortran=fortran)
            target.value = built.value
        case _Dtype(), (3, "<" | ">" | "=" | "|" as order, None, None, None, -1, -1, 0):
            target.value = target.value.newbyteorder(order)
        case Network(_, None), dict():
            target.state = state
        case _:
            raise UnsafePickleError(
                f"sets an unknown state on {type(target).__name__}; refused; {WANTED}"
            )


# --- The opcodes -------------------------------------------------------------------


def _push(machine: _Machine, arg: Any) -> None:
    machine.stack.append(arg)


def _constant(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _small_int(machine: _Machine, arg: int) -> None:
    require(abs(arg) < 1 << 63, "an integer of more than 64 bits")
    machine.stack.append(arg)


def _mark(machine: _Machine, _: Any) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _tuple_of(length: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: Any) -> None:
        require(len(machine.stack) >= length, "a tuple of missing values")
        machine.stack[-length:] = [tuple(machine.stack[-length:])]

    return make


def _tuple(machine: _Machine, _: Any) -> None:
    items = machine.items()
    machine.stack.append(tuple(items))


def _extend(machine: _Machine, items: list[Any]) -> None:
    require(type(machine.stack[-1]) is list, "appends to what is not a list")
    machine.stack[-1].extend(items)


def _update(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    require(type(target) is dict, "sets items of what is not a dictionary")
    require(len(items) % 2 == 0, "a dictionary entry without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        require(isinstance(key, str), "a dictionary key that is not text")
        target[key] = value


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_find_global(module, name))


def _reduce(machine: _Machine, _: Any) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    require(
        isinstance(function, _Global) and isinstance(args, tuple),
        "calls something that is no function",
    )
    machine.stack.append(_call(machine, function.kind, args))


def _new_object(machine: _Machine, _: Any) -> None:
    args, cls = machine.stack.pop(), machine.stack.pop()
    require(isinstance(cls, _Global) and args == (), "makes an object in an odd way")
    require(cls.kind in ("network", "dict"), f"makes a new {cls.path}")
    machine.stack.append(Network(cls.path) if cls.kind == "network" else {})


def _build(machine: _Machine, _: Any) -> None:
    state = machine.stack.pop()
    _set_state(machine, machine.stack[-1], state)


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _get(machine: _Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, arg: require(arg in (2, 3, 4, 5), f"protocol {arg}"),
    "FRAME": lambda machine, arg: None,
    "NONE": _push,
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), _small_int),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING", "BINFLOAT"), _push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _push),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_TUPLE": _constant(tuple),
    "MARK": _mark,
    "TUPLE": _tuple,
    **{f"TUPLE{length}": _tuple_of(length) for length in (1, 2, 3)},
    "APPEND": lambda machine, _: _extend(machine, [machine.stack.pop()]),
    "APPENDS": lambda machine, _: _extend(machine, machine.items()),
    "SETITEM": lambda machine, _: _update(
        machine, [machine.stack.pop(), machine.stack.pop()][::-1]
    ),
    "SETITEMS": lambda machine, _: _update(machine, machine.items()),
    "GLOBAL": lambda machine, arg: _push(machine, _find_global(*arg.split(" ", 1))),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new_object,
    "BUILD": _build,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "BINGET": _get,
    "LONG_BINGET": _get,
}


def run(data: bytes) -> object:
    """Reads a whole pickle and returns the one value it leaves.

    Returns:
        None, bool, int, float, str, bytes, and lists, tuples and string-keyed
        dictionaries of them, of `Array` and of `Network`; possibly cyclic.

    Raises:
        UnsafePickleError: the pickle does something that is not on the lists.
        Exception: of nearly any kind, where the bytes are damaged.
    """
    machine = _Machine(budget=2 * len(data))
    for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
        if count >= MAX_OPCODES:
            raise UnsafePickleError(f"more than {MAX_OPCODES} opcodes; {WANTED}")
        if opcode.name == "STOP":
            break
        handler = _OPCODES.get(opcode.name)
        if handler is None:
            raise UnsafePickleError(
                f"uses the pickle opcode {opcode.name}, which no StyleGAN pickle does; "
                f"refused, nothing was run; {WANTED}"
            )
        handler(machine, arg)
    require(len(machine.stack) == 1 and not machine.below, "leaves values over")
    return machine.stack[0]
