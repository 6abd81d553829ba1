"""Short `__repr__` of values with many arrays."""

import dataclasses
import math
from typing import Any

import jax

_LONGEST = 60  # characters of what is neither an array nor made of them


def short_repr(self: Any) -> str:
    """`Name(field=float32[8,512], ...)`; configurations show what is not default."""
    names = getattr(self, "_fields", None)
    if names is None:
        names = [field.name for field in dataclasses.fields(self) if field.repr]
    fields = (f"{name}={_short(getattr(self, name))}" for name in names)
    return f"{type(self).__name__}({', '.join(fields)})"


def _short(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if type(value).__repr__ is short_repr:
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = [
            f"{field.name}={_short(found)}"
            for field in dataclasses.fields(value)
            if not _is_default(found := getattr(value, field.name), field.default)
        ]
        return f"{type(value).__name__}({', '.join(changed)})"
    shapes = [leaf.shape for leaf in jax.tree.leaves(value) if hasattr(leaf, "shape")]
    if shapes:
        numbers = sum(math.prod(shape) for shape in shapes)
        return f"<{len(shapes)} arrays, {numbers:,} numbers>"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _is_default(value: Any, default: Any) -> bool:
    same = type(value) is type(default) and not hasattr(value, "shape")
    return same and value == default
