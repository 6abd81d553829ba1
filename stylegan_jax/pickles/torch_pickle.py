"""Dialect of pickles in PyTorch files: permitted names and their stand-ins.

Source: `torch/_utils.py` (`_rebuild_tensor_v2`, `_rebuild_parameter`) and
`torch/serialization.py` (persistent ids) of PyTorch.
"""

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.pickles import official_pickle
from stylegan_jax.pickles.pickle_machine import (
    Dialect,
    Global,
    Machine,
    UnsafePickleError,
    require,
    shown,
)

MAX_OPCODES = 1_000_000  # networks with their optimisers at 1024 px have 0.1 million
MAX_DIMENSIONS = 8

# NumPy kind and size by class of storage; "b" is bfloat16, which NumPy lacks.
_TYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "b2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}
_NAMES = {
    **{("torch", name): "storage" for name in _TYPES},
    ("torch._utils", "_rebuild_tensor"): "tensor",  # before 0.4
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch.nn.parameter", "Parameter"): "parameter",  # before 0.4
    ("collections", "OrderedDict"): "dict",
    ("argparse", "Namespace"): "dict",  # settings of a training run; dropped
    # Learning rates may be NumPy scalars.
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("_codecs", "encode"): "encode",
}


@dataclasses.dataclass(eq=False)
class Storage:
    """A flat array in the file."""

    code: str  # kind and bytes of a number, as in `_TYPES`
    count: int
    data: memoryview | None = None  # their bytes, in place; None until found
    crc: int | None = None  # None where the file has no checksum
    big_endian: bool = False

    @property
    def num_bytes(self) -> int:
        """Size of the data."""
        return self.count * int(self.code[1:])


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage, in the file until `array` is called."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Read-only view of the file; bfloat16 as a float32 copy."""
        storage, size = self.storage, int(self.storage.code[1:])
        if storage.data is None or storage.data.nbytes != storage.num_bytes:
            raise UserError("a tensor without its data")
        if storage.crc is not None and zlib.crc32(storage.data) != storage.crc:
            raise UserError(
                "numbers do not agree with their checksum: the file is damaged; fetch "
                "it again"
            )
        storage.crc = None  # once is enough
        half = storage.code == "b2"
        dtype = np.dtype("u2" if half else storage.code)
        array = np.ndarray(
            self.shape,
            dtype.newbyteorder(">" if storage.big_endian else "<"),
            storage.data,
            self.offset * size,
            tuple(stride * size for stride in self.strides),
        )
        if half:  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array


def arrays_of(state: object) -> dict[str, np.ndarray]:
    """Arrays of a state dictionary by name, without `DataParallel`'s `module.`."""
    if not isinstance(state, dict):
        raise UserError(f"a {type(state).__name__}, no state_dict()")
    found: dict[str, np.ndarray] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"the state dictionary's {shown(name)} is no tensor")
        found[name.removeprefix("module.")] = value.array()
    return found


def dialect(find: Callable[[str, str, int], Storage]) -> Dialect:
    """Dialect of a file; `find` gives the storage of a key, code and count."""

    def load(pid: object) -> Storage:
        match pid:
            case (
                "storage",
                Global("storage", path),
                str(key),
                str(),
                int(count),
                *view,
            ):
                require(view in ([], [None]), "a storage that is a view")
                require(0 <= count < 1 << 48, "a storage of an absurd size")
                return find(key, _TYPES[path.removeprefix("torch.")], count)
        raise UnsafePickleError("refers to outside data in an odd way; refused")

    return Dialect(
        family="PyTorch state dictionary",
        names=_NAMES,
        call=_call,
        make=_make,
        set_state=_set_state,
        load=load,
        number_keys=True,  # of optimisers
        max_opcodes=MAX_OPCODES,
    )


def _call(machine: Machine, function: Global, args: tuple[Any, ...]) -> object:
    match function.kind, args:
        case "tensor", (Storage() as storage, offset, shape, strides, *_):
            return _tensor(machine, storage, offset, shape, strides)
        case "parameter", (Tensor() as tensor, *_):
            return tensor
        case "dict", (list() as pairs,):  # as Python 2 writes ordered ones
            return _from_pairs(machine, pairs)
        case "scalar", (official_pickle.Dtype(), _):
            scalar = official_pickle.call(machine, function, args)
            assert isinstance(scalar, official_pickle.Array)
            assert scalar.value is not None
            return scalar.value.item()
        case "dict" | "dtype" | "encode", _:
            return official_pickle.call(machine, function, args)
    raise UnsafePickleError(f"an odd call of {shown(function.path)}; refused, not run")


def _from_pairs(machine: Machine, pairs: list[Any]) -> dict[str, Any]:
    machine.spend(len(pairs))
    found: dict[str, Any] = {}
    for pair in pairs:
        require(
            isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is str,
            "a dictionary of other things than pairs",
        )
        found[pair[0]] = pair[1]
    return found


def _tensor(
    machine: Machine, storage: Storage, offset: Any, shape: Any, strides: Any
) -> Tensor:
    """A tensor, once proven to lie inside its storage."""
    for value in (shape, strides):
        require(
            isinstance(value, tuple)
            and len(value) <= MAX_DIMENSIONS
            and all(type(n) is int and 0 <= n < 1 << 48 for n in value),
            "a tensor with an odd shape or odd strides",
        )
    require(len(shape) == len(strides), "a tensor with odd strides")
    require(type(offset) is int and offset >= 0, "a tensor at an odd place")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    require(
        count == 0 or (last < storage.count and count <= storage.count),
        f"a tensor of shape {shape} beyond its {storage.count} numbers",
    )
    require(offset <= storage.count, "a tensor at an odd place")
    machine.spend(count * int(storage.code[1:]))
    return Tensor(storage, offset, shape, strides)


def _make(cls: Global) -> object:
    require(cls.kind == "dict", f"makes a new {cls.path}")
    return {}


def _set_state(machine: Machine, target: object, state: object) -> None:
    """BUILD; attributes of dictionaries (`_metadata`) are dropped."""
    match target, state:
        case dict(), dict():
            return
        case Tensor(), (bool(), bool(), dict()):  # of a parameter: its gradient's
            return
        case official_pickle.Dtype(), _:
            official_pickle.set_state(machine, target, state)
            return
    raise UnsafePickleError(
        f"sets an unknown state on {type(target).__name__}; refused"
    )
