"""Seeds and numbers as flags: `0-63`, `1,0.7,0`."""

import itertools
import re
from collections.abc import Sequence

import numpy as np

from stylegan_jax.errors import UserError

_MAX_SEEDS = 1_000_000


def parse_seeds(text: str, flag: str = "--seeds") -> tuple[int, ...]:
    """Seeds and inclusive ranges of `1,5,8-10`, each seed once."""
    ranges: list[range] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise UserError(
                f"{flag} {text}: {part.strip()!r} is not a seed or a range; give "
                "numbers from 0 such as 7 or 0-63 or 1,5,8-10"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(
                f"{flag} {text}: {part.strip()} runs backwards; did you mean "
                f"{last}-{first}?"
            )
        if last >= 2**32:
            raise UserError(f"{flag} {text}: {last} is over {2**32 - 1}")
        ranges.append(range(first, last + 1))
    if sum(map(len, ranges)) > _MAX_SEEDS:
        raise UserError(f"{flag} {text} are over {_MAX_SEEDS}; draw them in parts")
    return tuple(dict.fromkeys(itertools.chain(*ranges)))


def parse_numbers(text: str, flag: str = "--psi") -> tuple[float, ...]:
    """Numbers of `1,0.7,-0.5`, each once."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not np.isfinite(numbers).all():
        raise UserError(f"{flag} {text}: give numbers such as 0.7 or 1,0.7,0,-0.7")
    return tuple(dict.fromkeys(numbers))


def format_seeds(seeds: Sequence[int]) -> str:
    """Seeds in the form of `parse_seeds`, such as `1,5,8-10`."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)
