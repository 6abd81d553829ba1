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
import safetensors
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
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.networks.config import (
    ModelConfig,
    check_resolution,
    stored_model_config,
)
from stylegan_jax.networks.generator import Generator

FORMAT = "stylegan_jax networks"
VERSION = 1
DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}

_KEY = "stylegan_jax"
_GENERATOR, _DISCRIMINATOR = "generator/", "discriminator/"
_STORED = {"F32": "float32", "BF16": "bfloat16"}
_MAX_HEADER_BYTES = 1 << 20  # at 1024 px, discriminator included, it has 31 kB

_METADATA: dict[str, tuple[type, ...]] = {
    "format": (str,),
    "version": (int,),
    "config": (dict,),
    "resolution": (int,),
    "alpha": (float, type(None)),
    "has_w_avg": (bool,),
    "discriminator": (dict, type(None)),
    "provenance": (dict,),
}


class NotAnExportedFileError(UserError):
    """The file was not written by `save`, or is damaged."""


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

    Args:
        path: conventionally ends in `.safetensors`.
        dtype: of all arrays; bfloat16 keeps 8 bits of precision, `load` gives float32.
        source: name of the file that the weights come from.
        licence: terms of the weights.
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

    Raises:
        NotAnExportedFileError: another, damaged, later or inconsistent file.
    """
    return _load(path, with_discriminator=False).generator


def load_bundle(path: str | Path) -> Bundle:
    """All networks of a file that `save` wrote; raises as `load`."""
    return _load(path, with_discriminator=True)


def is_exported(path: str | Path) -> bool:
    """Whether a file begins like a safetensors file."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
            size = file.seek(0, os.SEEK_END)
    except OSError:
        return False
    length = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and (2 <= length <= max(size, _MAX_HEADER_BYTES))


def stored_dtype(path: str | Path) -> str:
    """Type of a file's arrays, "float32" or "bfloat16"; raises as `load`."""
    with _opened(path) as file:
        return _STORED.get(file.get_slice(next(iter(file.keys()))).get_dtype(), "?")


def _prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + path: array for path, array in arrays.items()}


def _opened(path: str | Path) -> Any:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _MAX_HEADER_BYTES:
        raise NotAnExportedFileError(
            f"{path}: a header of {length} bytes, more than the {_MAX_HEADER_BYTES} "
            "allowed: this is another kind of file, or damaged"
        )
    try:
        return safetensors.safe_open(os.fspath(path), framework="numpy")
    except (
        Exception
    ) as error:  # the library has an error of its own, and lets others by
        detail = " ".join(str(error).split())[:200]
        raise NotAnExportedFileError(
            f"{path}: damaged, cut off or not a .safetensors file ({detail}); "
            "fetch or convert it again"
        ) from None


def _load(path: str | Path, *, with_discriminator: bool) -> Bundle:
    with _opened(path) as file:
        try:
            metadata = _read_metadata(file.metadata() or {})
            configs, shapes = _described(metadata)
            _check_arrays(file, shapes)
        except UserError as error:
            raise NotAnExportedFileError(f"{path}: {error}") from None

        def read(prefix: str) -> dict[str, np.ndarray]:
            # Copied: the library may return a view of the mapped file.
            return {
                name.removeprefix(prefix): np.array(file.get_tensor(name), np.float32)
                for name in shapes
                if name.startswith(prefix)
            }

        generator = build_generator(
            read(_GENERATOR),
            configs[_GENERATOR],
            resolution=metadata["resolution"],
            alpha=metadata["alpha"],
        )
        discriminator = None
        if with_discriminator and _DISCRIMINATOR in configs:
            discriminator = TrainedDiscriminator(
                params=nested(read(_DISCRIMINATOR)), config=configs[_DISCRIMINATOR]
            )
    provenance = metadata["provenance"]
    return Bundle(
        generator=generator,
        discriminator=discriminator,
        source=str(provenance.get("source") or Path(path).name),
        licence=str(provenance.get("licence") or ""),
    )


def _read_metadata(header: Mapping[str, str]) -> dict[str, Any]:
    text = header.get(_KEY)
    if text is None:
        raise UserError(
            "a .safetensors file of another program; what can be read are those that "
            "python -m stylegan_jax.convert writes"
        )
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise UserError(f"its description is not that of {FORMAT!r}")
    if metadata.get("version") != VERSION:
        version = ascii(metadata.get("version"))[:20]
        raise UserError(
            f"written in version {version} of the format, and this program reads "
            f"version {VERSION}; update stylegan_jax"
        )
    for key in sorted(metadata.keys() ^ _METADATA.keys()):
        kind = "an unknown" if key in metadata else "no"
        raise UserError(f"a description with {kind} {ascii(key)[:40]}")
    for key, kinds in _METADATA.items():
        if type(metadata[key]) not in kinds:
            raise UserError(f"a description with an odd {key}")
    return metadata


def _described(
    metadata: dict[str, Any],
) -> tuple[dict[str, ModelConfig], dict[str, tuple[int, ...]]]:
    """Architectures by prefix, and shapes of arrays by name in the file."""
    config = stored_model_config(metadata["config"])
    configs = {_GENERATOR: config}
    if metadata["discriminator"] is not None:
        configs[_DISCRIMINATOR] = stored_model_config(metadata["discriminator"])
    resolution, alpha = metadata["resolution"], metadata["alpha"]
    try:
        low = config.resolution if config.mlp_layers else 4  # those do not grow
        check_resolution("resolution", resolution, low)
        if resolution > config.resolution:
            raise UserError(
                f"resolution {resolution} of a network of {config.resolution}"
            )
        if alpha is not None and not 0 <= alpha <= 1:
            raise UserError(f"alpha is {alpha}, not 0 to 1")
        found = generator_shapes(config, has_w_avg=metadata["has_w_avg"])
        shapes = _prefixed(_GENERATOR, found)
        if _DISCRIMINATOR in configs:
            found = discriminator_shapes(configs[_DISCRIMINATOR])
            shapes |= _prefixed(_DISCRIMINATOR, found)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UserError(f"describes no possible network: {error}") from None
    return configs, shapes


def _check_arrays(file: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    found = {name: (tuple(x.get_shape()), x.get_dtype()) for name, x in slices.items()}
    check_fit(found, shapes, dtypes=tuple(_STORED))
