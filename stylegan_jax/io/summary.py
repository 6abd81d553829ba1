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
        changed = []
        for field in dataclasses.fields(value):
            found, default = getattr(value, field.name), field.default
            comparable = type(found) is type(default) and not hasattr(found, "shape")
            if not comparable or found != default:
                changed.append(f"{field.name}={_short(found)}")
        return f"{type(value).__name__}({', '.join(changed)})"
    shapes = [leaf.shape for leaf in jax.tree.leaves(value) if hasattr(leaf, "shape")]
    if shapes:
        numbers = sum(math.prod(shape) for shape in shapes)
        return f"<{len(shapes)} arrays, {numbers:,} numbers>"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
