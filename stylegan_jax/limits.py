"""Range checks of configuration fields."""

from collections.abc import Callable
from typing import Any

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.errors import UserError


def require(
    config: Any, section: str, holds: Callable[[Any], bool], but: str, *names: str
) -> None:
    """Checks fields; UserError `SECTION.NAME is VALUE, BUT` unless the condition holds.

    None passes; in tables by resolution every number is checked.
    """
    for name in names:
        value = getattr(config, name)
        values = value.values() if isinstance(value, ByResolution) else [value]
        if not all(x is None or holds(x) for x in values):
            shown = repr(value) if isinstance(value, str) else value
            raise UserError(f"{section}.{name} is {shown}, {but}")


def require_positive(config: Any, section: str, *names: str) -> None:
    """`require` of numbers above 0."""
    require(config, section, lambda x: x > 0, "not positive", *names)


def require_not_negative(config: Any, section: str, *names: str) -> None:
    """`require` of numbers from 0."""
    require(config, section, lambda x: x >= 0, "below 0", *names)


def require_seed(config: Any, section: str, *names: str) -> None:
    """`require` of seeds that NumPy takes."""
    require(config, section, lambda x: 0 <= x < 2**32, "not in [0, 2**32)", *names)


def require_one_of(config: Any, section: str, options: Any, *names: str) -> None:
    """`require` of membership in `options`."""
    listed = f"not one of {', '.join(options)}"
    require(config, section, lambda x: x in options, listed, *names)
