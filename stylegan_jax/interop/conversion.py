"""Conversion of networks between formats, verified by reading back."""

import secrets
from pathlib import Path
from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import (
    exported,
    official_writer,
    sampler_program,
    stylegan_tf,
)
from stylegan_jax.interop.bundle import Bundle, discriminator_arrays, generator_arrays
from stylegan_jax.networks.generator import Generator

Format = Literal["safetensors", "pkl", "jaxexport"]
DType = Literal["float32", "bfloat16"]

# bfloat16: half a unit in the last of 8 bits. alpha: an official `lod` is a float32 of
# up to 8.
_TOLERANCE = {"float32": 0.0, "bfloat16": 2.0**-8}
_ALPHA_TOLERANCE = 2.0**-20


def write(
    path: Path,
    bundle: Bundle,
    file_format: Format,
    *,
    dtype: DType = "float32",
    module_src: str = "",
) -> float:
    """Writes networks; the file appears once it is read back and compared.

    Official pickles are float32 and take `module_src` (see `official_writer`); samplers
    (`jaxexport`) take the generator only.

    Returns:
        The largest difference relative to a number's size; of a sampler, the largest of
        two images in [-1, 1].

    Raises:
        UserError: not representable in the format, or read back differently.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        if file_format == "jaxexport":
            sampler_program.save(temporary, bundle.generator, dtype=dtype)
            largest = sampler_program.check(temporary, bundle.generator, dtype=dtype)
        elif file_format == "pkl":
            official_writer.save_pickle(temporary, bundle, module_src=module_src)
            largest = compare(bundle, stylegan_tf.load_bundle(temporary), "float32")
        else:
            exported.save(
                temporary,
                bundle.generator,
                dtype=dtype,
                discriminator=bundle.discriminator,
                source=bundle.source,
                licence=bundle.licence,
            )
            largest = compare(bundle, exported.load_bundle(temporary), dtype)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return largest


def compare(expected: Bundle, found: Bundle, dtype: DType) -> float:
    """The largest relative difference of two bundles; float32 must agree bitwise.

    Networks that only `found` has are ignored. Raises UserError beyond rounding.
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
