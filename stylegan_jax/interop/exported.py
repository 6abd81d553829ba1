"""Compact network file: one generator, and optionally its discriminator.

A `.safetensors` file of float32 or bfloat16 arrays, which runs nothing and needs no
Orbax. Arrays are called `generator/PATH` and `discriminator/PATH` with the paths of
`bundle`. The header's `__metadata__` has one entry, `stylegan_jax`, of JSON:

    {"format": "stylegan_jax networks", "version": 1,
     "config": {...},          # ModelConfig of the generator
     "resolution": 1024, "alpha": null,
     "has_w_avg": true,        # false for ProGAN
     "discriminator": {...},   # ModelConfig of the discriminator, or null
     "provenance": {"source": "...", "licence": "...", "stylegan_jax": "0.1.0"}}

The header is checked against the networks it describes before an array is read.

Source of the format: https://github.com/huggingface/safetensors.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import safetensors.numpy

import stylegan_jax
from stylegan_jax.errors import UserError
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    build_generator,
    check_fit,
    discriminator_arrays,
    discriminator_shapes,
    generator_arrays,
    generator_shapes,
    nested,
)
from stylegan_jax.io import array_files, records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.networks.config import check_resolution, stored_model_config
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles.pickle_machine import reading

FORMAT = "stylegan_jax networks"
VERSION = 1
DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}

_KEY = "stylegan_jax"
_GENERATOR, _DISCRIMINATOR = "generator/", "discriminator/"

_DESCRIPTION = {
    "format": str,
    "version": int,
    "config": {},
    "resolution": int,
    "alpha": (float, type(None)),
    "has_w_avg": bool,
    "discriminator": (dict, type(None)),
    "provenance": {},
}


def save(
    path: str | Path,
    generator: Generator,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
    discriminator: TrainedDiscriminator | None = None,
    source: str = "",
    licence: str = "",
) -> None:
    """Writes a generator, its mean of w and its noise, atomically.

    `path` conventionally ends in `.safetensors`. bfloat16 keeps 8 bits of precision;
    `load` gives float32. `source` is the file that the weights come from, `licence`
    their terms.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype is {dtype!r}, not one of {', '.join(DTYPES)}")
    arrays = _prefixed(_GENERATOR, generator_arrays(generator))
    if discriminator is not None:
        arrays |= _prefixed(_DISCRIMINATOR, discriminator_arrays(discriminator))
    alpha = generator.alpha
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "config": dataclasses.asdict(generator.config),
        "resolution": generator.resolution,
        "alpha": None if alpha is None else float(alpha),
        "has_w_avg": generator.w_avg is not None,
        "discriminator": discriminator and dataclasses.asdict(discriminator.config),
        "provenance": {
            "source": source,
            "licence": licence,
            "stylegan_jax": stylegan_jax.__version__,
        },
    }
    stored = {
        name: np.ascontiguousarray(array, DTYPES[dtype]).reshape(array.shape)
        for name, array in arrays.items()
    }
    data = safetensors.numpy.save(stored, {_KEY: json.dumps(metadata)})
    atomic_write(path, data)


def load(path: str | Path) -> Generator:
    """Generator of a file that `save` wrote, in float32.

    Raises UserError for another, damaged, later or inconsistent file.
    """
    return load_bundle(path).generator


def load_bundle(path: str | Path) -> Bundle:
    """All networks of a file that `save` wrote; raises as `load`."""
    with reading(path, "; fetch or convert it again"):
        found = _description(array_files.read_safetensors_header(path))
        shapes = _shapes(found)
        stored, _ = array_files.read_safetensors(path)
        described = {name: (x.shape, x.dtype.name) for name, x in stored.items()}
        check_fit(described, shapes, dtypes=tuple(DTYPES))

    def arrays(prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): array.astype(np.float32)
            for name, array in stored.items()
            if name.startswith(prefix)
        }

    discriminator = None
    if found["discriminator"] is not None:
        discriminator = TrainedDiscriminator(
            params=nested(arrays(_DISCRIMINATOR)), config=found["discriminator"]
        )
    return Bundle(
        generator=build_generator(
            arrays(_GENERATOR),
            found["config"],
            resolution=found["resolution"],
            alpha=found["alpha"],
        ),
        discriminator=discriminator,
        source=str(found["provenance"].get("source") or Path(path).name),
        licence=str(found["provenance"].get("licence") or ""),
    )


def is_exported(path: str | Path) -> bool:
    """Whether a file begins like a safetensors file."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
            size = file.seek(0, os.SEEK_END)
    except OSError:
        return False
    length = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and 2 <= length <= max(size, 1 << 20)


def _prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + path: array for path, array in arrays.items()}


def _description(header: Mapping[str, str]) -> dict[str, Any]:
    """The description, checked, with its architectures as `ModelConfig`."""
    if _KEY not in header:
        raise UserError(
            "a .safetensors file of another program; what can be read are those that "
            "python -m stylegan_jax.convert writes"
        )
    try:
        found: Any = records.parse(header[_KEY])
        records.check(found, {"format": str, "version": int})
    except ValueError:
        found = {"format": None}
    if found["format"] != FORMAT:
        raise UserError(f"its description is not that of {FORMAT!r}")
    if found["version"] != VERSION:
        raise UserError(
            f"written in version {found['version']} of the format, and this program "
            f"reads version {VERSION}; update stylegan_jax"
        )
    records.check(found, _DESCRIPTION)
    found["config"] = config = stored_model_config(found["config"])
    if found["discriminator"] is not None:
        found["discriminator"] = stored_model_config(found["discriminator"])
    low = config.resolution if config.mlp_layers else 4  # those do not grow
    check_resolution("resolution", found["resolution"], low)
    if found["resolution"] > config.resolution:
        raise UserError(
            f"resolution {found['resolution']} of a network of {config.resolution}"
        )
    if found["alpha"] is not None and not 0 <= found["alpha"] <= 1:
        raise UserError(f"alpha is {found['alpha']}, not 0 to 1")
    return found


def _shapes(described: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays by name in the file."""
    has_w_avg = described["has_w_avg"]
    generator = generator_shapes(described["config"], has_w_avg=has_w_avg)
    shapes = _prefixed(_GENERATOR, generator)
    if described["discriminator"] is not None:
        discriminator = discriminator_shapes(described["discriminator"])
        shapes |= _prefixed(_DISCRIMINATOR, discriminator)
    return shapes
