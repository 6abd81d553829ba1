"""Pickle writer for plain data, arrays and `Network` objects, opcode by opcode.

The standard pickler would import `dnnlib`, and names NumPy 2 modules unknown to the
official code's NumPy. Names here are fixed: those of `dnnlib` and NumPy 1, which
NumPy 2 still resolves. Protocol 4 is the newest that Python 3.6 reads; `pickle_machine`
is the reader.

Source of the opcodes: the standard library's `pickletools`; of the layout of arrays:
`ndarray.__reduce__`.
"""

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from stylegan_jax.pickles.official_pickle import PickledNetwork

_PROTOCOL = b"\x80\x04"
_STOP = b"."
_MAX_BYTES = 2**32 - 1  # that one array or text may have


def dump(value: Any, file: BinaryIO, *, module_src: str = "") -> None:
    """Writes a pickle of `value`.

    Supported are None, bool, int, float, str, and lists, tuples and dictionaries of
    them, of float32 arrays (repeated ones are written once) and of `PickledNetwork`,
    with `module_src` as its source text.
    """
    emitter = _Emitter(module_src)
    file.write(_PROTOCOL)
    for part in emitter.emit(value):
        file.write(part)
    file.write(_STOP)


@dataclasses.dataclass(frozen=True)
class _Emitter:
    module_src: str
    # Of arrays: identity -> position.
    memo: dict[int, int] = dataclasses.field(default_factory=dict)

    def emit(self, value: Any) -> Iterator[bytes | memoryview]:
        """Opcodes that push `value`."""
        match value:
            case None:
                yield b"N"
            case bool():
                yield b"\x88" if value else b"\x89"
            case int():
                yield b"J" + struct.pack("<i", value)
            case float():
                yield b"G" + struct.pack(">d", value)
            case str():
                yield from _sized(b"X", memoryview(value.encode()))
            case tuple():
                yield from self._all(b"(", value, b"t")
            case list():
                yield from self._all(b"](", value, b"e")
            case dict():
                pairs = [part for pair in value.items() for part in pair]
                yield from self._all(b"}(", pairs, b"u")
            case np.ndarray() if value.dtype == np.float32:
                yield from self._array(value)
            case PickledNetwork():
                yield b"cdnnlib.tflib.network\nNetwork\n)\x81"
                state = {
                    "version": value.version,
                    "name": value.name,
                    "static_kwargs": value.static_kwargs,
                    "components": value.components,
                    "build_module_src": self.module_src,
                    "build_func_name": value.build_func_name,
                    "variables": list(value.variables.items()),
                }
                yield from self.emit(state)
                yield b"b"
            case _:
                raise TypeError(f"no opcodes for a {type(value).__name__}")

    def _all(
        self, before: bytes, values: Any, after: bytes
    ) -> Iterator[bytes | memoryview]:
        yield before
        for value in values:
            yield from self.emit(value)
        yield after

    def _array(self, array: np.ndarray) -> Iterator[bytes | memoryview]:
        if id(array) in self.memo:
            yield b"j" + struct.pack("<I", self.memo[id(array)])
            return
        yield b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        yield b"K\x00\x85C\x01b\x87R(K\x01"  # of shape (0,) and type "b", for now
        yield from self.emit(array.shape)
        yield b"cnumpy\ndtype\n"
        yield from self.emit(("f4", False, True))
        yield b"R"
        yield from self.emit((3, "<", None, None, None, -1, -1, 0))
        yield b"b\x89"  # not in Fortran's order
        data = np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8)
        yield from _sized(b"B", data.data)
        yield b"tb"
        self.memo[id(array)] = len(self.memo)
        yield b"r" + struct.pack("<I", self.memo[id(array)])


def _sized(opcode: bytes, data: memoryview) -> Iterator[bytes | memoryview]:
    if data.nbytes > _MAX_BYTES:
        raise TypeError(f"no opcodes for {data.nbytes} bytes at once")
    yield opcode + struct.pack("<I", data.nbytes)
    yield data
