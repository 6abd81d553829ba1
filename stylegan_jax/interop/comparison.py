"""Whether networks that were written and read back are what they were."""

from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop.bundle import Bundle, discriminator_arrays, generator_arrays
from stylegan_jax.networks.generator import Generator

# Rounding to bfloat16's 8 bits errs by half a unit in the last place, relatively; an
# official `lod` holds alpha to float32 at a size of up to 8.
_TOLERANCE = {"float32": 0.0, "bfloat16": 2.0**-8}
_ALPHA_TOLERANCE = 2.0**-20


def compare(
    expected: Bundle, found: Bundle, dtype: Literal["float32", "bfloat16"]
) -> float:
    """Compares what was read back with what was to be written.

    Args:
        expected: what was to be written.
        found: what was read; networks that only it has are not compared.
        dtype: float32 asks for the same bits.

    Returns:
        The largest difference of two numbers, relative to their size.

    Raises:
        UserError: it is larger than rounding explains, or an array is not there.
    """
    pairs = [(expected.generator, found.generator)]
    if expected.raw is not None and found.raw is not None:
        pairs.append((expected.raw, found.raw))
    arrays = [(generator_arrays(a), generator_arrays(b)) for a, b in pairs]
    for ours, theirs in pairs:
        _compare_growth(ours, theirs)
    if expected.discriminator is not None:
        if found.discriminator is None:
            raise UserError("read back, the discriminator is missing")
        both = expected.discriminator, found.discriminator
        arrays.append((discriminator_arrays(both[0]), discriminator_arrays(both[1])))
    return max(_deviation(ours, theirs, dtype) for ours, theirs in arrays)


def _compare_growth(expected: Generator, found: Generator) -> None:
    a, b = (1.0 if g.alpha is None else float(g.alpha) for g in (expected, found))
    if expected.resolution != found.resolution or abs(a - b) > _ALPHA_TOLERANCE:
        raise UserError(
            f"read back, the network is at {found.resolution} px, alpha {b}, "
            f"not {expected.resolution} px, alpha {a}"
        )


def _deviation(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], dtype: str
) -> float:
    if expected.keys() != found.keys():
        odd = ", ".join(sorted(expected.keys() ^ found.keys())[:8])
        raise UserError(f"read back, these arrays are missing or new: {odd}")
    largest = 0.0
    for path, ours in expected.items():
        theirs = found[path]
        if ours.shape != theirs.shape:
            raise UserError(f"read back, {path} is {theirs.shape}, not {ours.shape}")
        if dtype == "float32":
            if ours.tobytes() != theirs.tobytes():
                raise UserError(f"read back, {path} has other numbers")
            continue
        scale = np.maximum(np.abs(ours), np.finfo(np.float32).tiny)
        worst = float(np.max(np.abs(ours - theirs) / scale, initial=0.0))
        if not worst <= _TOLERANCE[dtype]:
            raise UserError(f"read back, {path} differs by {worst:.2g} of its size")
        largest = max(largest, worst)
    return largest
