"""What devices tell each other in a compiled program, read from its text.

XLA adds the collectives when it splits a program over devices, so they are found in
the optimised HLO only. Every one is counted once: programs must have no loop around
theirs (here: `repeats` and `accumulate` of 1).
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_BITS = {"pred": 8, "s8": 8, "u8": 8, "bf16": 16, "f16": 16, "s16": 16, "u16": 16}
_BITS |= {"f32": 32, "s32": 32, "u32": 32, "f64": 64, "s64": 64, "u64": 64}
_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
# `%name = f32[2,3]{1,0} all-reduce(...)`, or with several results in parentheses.
# What runs beside other work is in two halves; the first has the shapes.
_LINE = re.compile(rf"= (\(.*?\)|\S+) ({_KINDS})(-start)?\(.*")
_SHAPE = re.compile(r"([a-z]+\d+|pred)\[([\d,]*)\]")
_NAME = re.compile(r'op_name="([^"]*)"')


class Collective(NamedTuple):
    """One array of one collective.

    Attributes:
        kind: such as "all-reduce".
        shape: of the result, on one device.
        num_bytes: of the result.
        name: what it was in the program that was compiled.
    """

    kind: str
    shape: tuple[int, ...]
    num_bytes: int
    name: str


def read(hlo: str) -> list[Collective]:
    """Every array of every collective of a module's text, as `compiled.as_text()`."""
    return list(_read(hlo))


def _read(hlo: str) -> Iterator[Collective]:
    for line in hlo.splitlines():
        match = _LINE.search(line)
        if match is None:
            continue
        name = _NAME.search(line)
        for dtype, sizes in _SHAPE.findall(match[1]):
            shape = tuple(int(n) for n in sizes.split(",") if n)
            size = math.prod(shape) * _BITS[dtype] // 8
            yield Collective(match[2], shape, size, name[1] if name else "")
