"""Recipes: Python files with `get_config()`, found by path or by bare name.

Recipes are executed. A variant follows a colon, `configs/ffhq1024.py:b`.
"""

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

from stylegan_jax.errors import UserError, did_you_mean

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def find_recipe(name: str) -> tuple[Path, str | None]:
    """The file of a recipe, and its variant after a colon.

    A bare name is looked up in the working directory's `configs/`, then in the one
    beside the package.

    Raises:
        UserError: there is none; names the closest ones.
    """
    path, variant = Path(name), None
    if not path.is_file() and ":" in name:
        name, _, variant = name.rpartition(":")
        path = Path(name)
    recipes = all_recipes()
    if name in recipes:  # whatever else has this name: recipes are called *.py
        return recipes[name], variant
    if path.is_file():
        return path, variant
    if path.stem in recipes and len(path.parts) == 1:
        return recipes[path.stem], variant
    hint = did_you_mean(path.stem, recipes) or "give a Python file"
    raise UserError(f"no recipe {name}; {hint}")


def load_recipe(path: Path, variant: str | None = None) -> Any:
    """Executes a recipe and returns the result of its `get_config()`.

    `variant` is its argument; None passes none.

    Raises:
        UserError: it fails, has no `get_config`, no variants, or does not return a
            dataclass; names the recipe and the line.
    """
    name = f"stylegan_jax_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"recipe {path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and tyro look their classes' module up
    try:
        spec.loader.exec_module(module)
        get_config = getattr(module, "get_config", None)
        if get_config is None:
            raise UserError(
                "has no function get_config(), which returns the configuration"
            )
        words = () if variant is None else (variant,)
        if words and not inspect.signature(get_config).parameters:
            raise UserError(f"has no variants; leave :{variant} out")
        config = get_config(*words)
    except Exception as error:
        text = f"{error}" if isinstance(error, UserError) else _described(error)
        raise UserError(f"recipe {path}{_line_in(path, error)}: {text}") from error
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise UserError(
            f"get_config() of recipe {path} returned {type(config).__name__}, not a "
            "configuration (a dataclass)"
        )
    return config


def all_recipes() -> dict[str, Path]:
    """Recipes by bare name; the working directory's override the package's."""
    found: dict[str, Path] = {}
    for folder in (_CONFIGS, Path("configs")):
        found.update({path.stem: path for path in folder.glob("[!_]*.py")})
    return found


def _described(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError) and "stylegan_jax" in f"{error.name}":
        text += "; write `import stylegan_jax as sg`, then sg.Config and so on"
    return text


def _line_in(path: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text has the line
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    return f", line {lines[-1]}" if lines else ""
