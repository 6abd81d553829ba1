"""Conversion of networks between formats, verified by reading back."""

import dataclasses
import secrets
from pathlib import Path
from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import (
    exported,
    official_writer,
    onnx_sampler,
    sampler_program,
    stylegan_tf,
)
from stylegan_jax.interop.bundle import Bundle, discriminator_arrays, generator_arrays

Format = Literal["safetensors", "pkl", "jaxexport", "onnx"]
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
    (`jaxexport`; `onnx`, which is float32) take the generator only. Returns the largest
    difference relative to a number's size; of a sampler, the largest of two images in
    [-1, 1]. Raises UserError if not representable in the format, or read back
    differently.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        if file_format == "jaxexport":
            sampler_program.save(temporary, bundle.generator, dtype=dtype)
            largest = sampler_program.check(temporary, bundle.generator, dtype=dtype)
        elif file_format == "onnx":
            source, licence = bundle.source, bundle.licence
            onnx_sampler.save(
                temporary, bundle.generator, source=source, licence=licence
            )
            largest = onnx_sampler.check(temporary, bundle.generator)
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

    Networks that only `found` has are ignored, and a raw generator that only `expected`
    has. Raises UserError beyond rounding.
    """
    if found.raw is None:
        expected = dataclasses.replace(expected, raw=None)
    largest, others = 0.0, _arrays(found)
    for path, ours in _arrays(expected).items():
        if path not in others or others[path].shape != ours.shape:
            raise UserError(f"read back, {path} is missing or of another shape")
        theirs = others[path]
        if path.endswith(("resolution", "alpha")):
            if abs(ours - theirs) > _ALPHA_TOLERANCE:
                raise UserError(f"read back, {path} is {theirs}, not {ours}")
        elif dtype == "float32":
            if ours.tobytes() != theirs.tobytes():
                raise UserError(f"read back, {path} has other numbers")
        else:
            scale = np.maximum(np.abs(ours), np.finfo(np.float32).tiny)
            worst = float(np.max(np.abs(ours - theirs) / scale, initial=0.0))
            if not worst <= _TOLERANCE[dtype]:
                raise UserError(f"read back, {path} differs by {worst:.2g} of its size")
            largest = max(largest, worst)
    return largest


def _arrays(bundle: Bundle) -> dict[str, np.ndarray]:
    """The arrays, resolution and alpha of all networks."""
    found: dict[str, np.ndarray] = {}
    for name, generator in (("generator", bundle.generator), ("raw", bundle.raw)):
        if generator is not None:
            alpha = 1.0 if generator.alpha is None else generator.alpha
            growth = {"resolution": generator.resolution, "alpha": alpha}
            arrays = generator_arrays(generator) | growth
            found |= {f"{name}/{path}": np.asarray(x) for path, x in arrays.items()}
    if bundle.discriminator is not None:
        arrays = discriminator_arrays(bundle.discriminator)
        found |= {f"discriminator/{path}": array for path, array in arrays.items()}
    return found
