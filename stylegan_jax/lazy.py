"""Lazy imports of a package's names, declared by its stub `__init__.pyi`.

Not `lazy_loader`: networks and steps run with JAX and Flax alone.
"""

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list]]:
    """`__getattr__` and `__dir__` of a package, by its `__name__` and `__file__`."""
    places: dict[str, tuple[str, str | None]] = {}
    for node in ast.parse(Path(file).with_suffix(".pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module, name = node.module, alias.name
                places[name] = (f".{module}", name) if module else (f".{name}", None)

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = places[name]
        found = importlib.import_module(module, package)
        if attribute is None or hasattr(found, attribute):
            return found if attribute is None else getattr(found, attribute)
        return importlib.import_module(f"{module}.{attribute}", package)

    return get, lambda: sorted(places)
