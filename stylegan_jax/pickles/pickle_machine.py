"""Pickle reader that builds plain data and calls nothing.

The standard loader imports and calls whatever a pickle names. This one executes only
the opcodes of `_OPCODES`, on plain data and stand-ins; "calls" are limited to the
fixed names of a `Dialect`, answered by our functions, which check their arguments.
Nothing is imported, looked up by attribute or called by name. Dictionary keys are
strings (or whole numbers), nothing recurses over the result, and file size bounds
every allocation, so a hostile file costs one error.

Source of the opcodes: the standard library's `pickletools`.
"""

import contextlib
import dataclasses
import os
import pickletools
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from stylegan_jax.errors import UserError

_CODE = "which carries code; load it in PyTorch and save its state_dict() instead"
# What a pickle is that names a module; the first prefix counts.
_FOREIGN = {
    "torch_utils": f"a StyleGAN2-ADA-PyTorch or StyleGAN3 pickle, {_CODE}",
    "training.networks": f"a StyleGAN2-ADA-PyTorch pickle, {_CODE}",
    **dict.fromkeys(("torch.nn", "model", "models"), f"a whole model, {_CODE}"),
    **dict.fromkeys(("torch.jit", "__torch__"), f"a TorchScript program, {_CODE}"),
    "torch": "a PyTorch checkpoint",
}


class UnsafePickleError(UserError):
    """The file imports, calls or builds something that is not data."""


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], hint: str = "") -> Iterator[None]:
    """Errors of the block name the file, and end with `hint`.

    Damaged bytes surface as almost any exception; all become UserErrors.
    """
    try:
        yield
    except UserError as error:
        raise type(error)(f"{os.fspath(path)}: {error}{hint}") from None
    except Exception as error:
        detail = shown(f"{type(error).__name__}: {error}")
        raise UserError(
            f"{os.fspath(path)}: damaged, or another kind of file ({detail}){hint}"
        ) from error


def shown(text: object) -> str:
    """Untrusted text, sanitised for a one-line message."""
    return ascii(str(text)[:100])[1:-1]


def require(condition: bool, what: str) -> None:
    """Raises `UnsafePickleError` about `what` unless the condition holds."""
    if not condition:
        raise UnsafePickleError(f"{what}; refused")


@dataclasses.dataclass(frozen=True)
class Global:
    """Stand-in for a function or class that the dialect knows."""

    kind: str  # what our functions tell it by; several names may be of one kind
    path: str  # "module.name"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dialect:
    """Permitted names of one family of pickles, and their handlers."""

    family: str  # such a pickle, for messages
    names: Mapping[tuple[str, str], str]  # the kind of each, by module and name
    call: Callable[["Machine", Global, tuple[Any, ...]], object]  # answers REDUCE
    make: Callable[[Global], object]  # answers NEWOBJ; it gets no arguments
    set_state: Callable[["Machine", object, object], None]  # answers BUILD
    load: Callable[[object], object] | None = None  # answers BINPERSID; None refuses it
    number_keys: bool = False  # dictionaries may have whole numbers as keys
    max_opcodes: int


@dataclasses.dataclass
class Machine:
    """State of the reader: the stack, stacks below open marks, and the memo."""

    dialect: Dialect
    budget: int  # bytes of array data still allowed
    stack: list[Any] = dataclasses.field(default_factory=list)
    below: list[list[Any]] = dataclasses.field(default_factory=list)
    memo: dict[int, Any] = dataclasses.field(default_factory=dict)

    def items(self) -> list[Any]:
        """Closes the last mark and returns the items above it."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def spend(self, num_bytes: int) -> None:
        """Counts array data; raises beyond the budget."""
        self.budget -= num_bytes
        if self.budget < 0:
            raise UnsafePickleError(
                "its arrays would take more memory than the file holds"
            )


def run(data: bytes | IO[bytes], dialect: Dialect, budget: int) -> object:
    """Value of one whole pickle; a file's position is then its end.

    It consists of None, bool, int, float, str, bytes, lists, tuples, dictionaries and
    stand-ins, possibly cyclic. `budget` bytes of array data may be built.

    Raises:
        UnsafePickleError: anything that is not on the lists.
        Exception: of nearly any kind, for damaged bytes.
    """
    machine = Machine(dialect, budget)
    for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
        if count >= dialect.max_opcodes:
            raise UnsafePickleError(f"more than {dialect.max_opcodes} opcodes")
        if opcode.name == "STOP":
            break
        handler = _OPCODES.get(opcode.name)
        if handler is None:
            raise UnsafePickleError(
                f"uses the pickle opcode {opcode.name}, which no {dialect.family} "
                "does; refused, nothing was run"
            )
        handler(machine, arg)
    require(len(machine.stack) == 1 and not machine.below, "leaves values over")
    return machine.stack[0]


def _push(machine: Machine, arg: Any) -> None:
    machine.stack.append(arg)


def _constant(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _small_int(machine: Machine, arg: int) -> None:
    require(abs(arg) < 1 << 63, "an integer of more than 64 bits")
    machine.stack.append(arg)


def _mark(machine: Machine, _: Any) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _tuple_of(length: int) -> Callable[[Machine, Any], None]:
    def make(machine: Machine, _: Any) -> None:
        require(len(machine.stack) >= length, "a tuple of missing values")
        machine.stack[-length:] = [tuple(machine.stack[-length:])]

    return make


def _tuple(machine: Machine, _: Any) -> None:
    items = machine.items()
    machine.stack.append(tuple(items))


def _extend(machine: Machine, items: list[Any]) -> None:
    require(type(machine.stack[-1]) is list, "appends to what is not a list")
    machine.stack[-1].extend(items)


def _update(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    require(type(target) is dict, "sets items of what is not a dictionary")
    require(len(items) % 2 == 0, "a dictionary entry without a value")
    keys = (str, int) if machine.dialect.number_keys else (str,)
    for key, value in zip(items[::2], items[1::2], strict=True):
        require(type(key) in keys, "a dictionary key that is not text")
        target[key] = value


def _global(machine: Machine, module: object, name: object) -> None:
    require(isinstance(module, str) and isinstance(name, str), "a name that is no text")
    assert isinstance(module, str) and isinstance(name, str)
    dialect = machine.dialect
    if (module, name) in dialect.names:
        kind = dialect.names[module, name]
        machine.stack.append(Global(kind, f"{module}.{name}"))
        return
    full = shown(f"{module}.{name}")
    for prefix, what in _FOREIGN.items():
        if module == prefix or module.startswith(prefix + "."):
            raise UnsafePickleError(f"names {full}: this looks like {what}")
    raise UnsafePickleError(
        f"names {full}, which no {dialect.family} does and which could run code; "
        "refused, nothing was run"
    )


def _stack_global(machine: Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    _global(machine, module, name)


def _reduce(machine: Machine, _: Any) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    require(
        isinstance(function, Global) and isinstance(args, tuple),
        "calls something that is no function",
    )
    machine.stack.append(machine.dialect.call(machine, function, args))


def _new_object(machine: Machine, _: Any) -> None:
    args, cls = machine.stack.pop(), machine.stack.pop()
    require(isinstance(cls, Global) and args == (), "makes an object in an odd way")
    machine.stack.append(machine.dialect.make(cls))


def _build(machine: Machine, _: Any) -> None:
    state = machine.stack.pop()
    machine.dialect.set_state(machine, machine.stack[-1], state)


def _persistent(machine: Machine, _: Any) -> None:
    if machine.dialect.load is None:
        raise UnsafePickleError("refers to data that is not in the pickle; refused")
    machine.stack.append(machine.dialect.load(machine.stack.pop()))


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _get(machine: Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


_OPCODES: dict[str, Callable[[Machine, Any], None]] = {
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
    "GLOBAL": lambda machine, arg: _global(machine, *arg.split(" ", 1)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new_object,
    "BUILD": _build,
    "BINPERSID": _persistent,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "BINGET": _get,
    "LONG_BINGET": _get,
}
