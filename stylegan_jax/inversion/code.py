"""What an image becomes: one w per layer and one noise image per layer.

A file of a code is a .safetensors with `ws`, `noise.0`, `noise.1`, ... and the
configuration that made it as JSON text; nothing in it is executed.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import struct
from jax import Array

from stylegan_jax.common import array_files
from stylegan_jax.common.errors import UserError
from stylegan_jax.common.files import atomic_write, to_json
from stylegan_jax.networks.config import num_layers
from stylegan_jax.networks.generator import Generator, Noise

_KIND = "stylegan_jax code 1"


@struct.dataclass
class Code:
    """The latents of N images; a pytree.

    Attributes:
        ws: one w per layer, `[N, L, w_dim]`.
        noise: `[N, R, R, 1]` per active layer; empty where the network has none.
    """

    ws: Array
    noise: Noise

    def __len__(self) -> int:
        """The number of images."""
        return self.ws.shape[0]

    def __getitem__(self, images: slice | np.ndarray) -> "Code":
        """The code of some of the images."""
        return Code(self.ws[images], tuple(layer[images] for layer in self.noise))


class StoredCode(NamedTuple):
    """What a file holds: the code, and what was said about it."""

    code: Code
    about: dict[str, Any]


def draw(generator: Generator, code: Code) -> Array:
    """The images of a code, float32 `[N, H, W, C]`, nominally in [-1, 1]."""
    return generator.synthesize(code.ws, code.noise)


def stored_noise(generator: Generator, count: int) -> Noise:
    """The noise that the network comes with, once for each of `count` images."""
    return tuple(
        jnp.broadcast_to(layer, (count, *layer.shape[1:]))
        for layer in generator.noise[: _num_noise(generator)]
    )


def check(generator: Generator, code: Code) -> None:
    """Raises UserError unless the code is one of this network."""
    config, count = generator.config, code.ws.shape[0]
    expected = (count, config.num_ws, config.w_dim)
    if code.ws.shape != expected:
        raise UserError(
            f"the code has ws {code.ws.shape}, but this network takes [N, "
            f"{config.num_ws}, {config.w_dim}]; it belongs to another network"
        )
    sizes = [2 ** (layer // 2 + 2) for layer in range(_num_noise(generator))]
    found = [layer.shape for layer in code.noise]
    if found != [(count, size, size, 1) for size in sizes]:
        raise UserError(
            f"the code has noise of {[shape[1:3] for shape in found]}, but this "
            f"network takes {count} images of {sizes} px each; it belongs to another "
            "network"
        )


def save(path: str | os.PathLike[str], code: Code, about: Mapping[str, Any]) -> None:
    """Writes a code, and what is known about it, to a .safetensors file.

    Args:
        path: of the file, which is replaced at once or not at all.
        code: of any number of images.
        about: configuration, seed, scores; anything that JSON can say.
    """
    stored = {"ws": np.asarray(code.ws)}
    for layer, noise in enumerate(code.noise):
        stored[f"noise.{layer}"] = np.asarray(noise)
    metadata = {"kind": _KIND, "about": json.dumps(to_json(about))}
    atomic_write(Path(path), safetensors.numpy.save(stored, metadata))


def load(
    path: str | os.PathLike[str], generator: Generator | None = None
) -> StoredCode:
    """Reads a file that `save` wrote.

    Args:
        path: of the file.
        generator: if given, the code must fit this network.

    Raises:
        UserError: no such file, not a code, damaged, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        found, metadata = array_files.read_safetensors(path)
        about = array_files.read_json(metadata.get("about", "{}").encode())
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is not a code or is damaged ({error}); "
            "python -m stylegan_jax.invert makes one"
        ) from error
    try:
        code = _code_of(metadata, found)
        if generator is not None:
            check(generator, code)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return StoredCode(code, about if isinstance(about, dict) else {})


def _code_of(metadata: Mapping[str, str], found: Mapping[str, np.ndarray]) -> Code:
    if metadata.get("kind") != _KIND or "ws" not in found:
        raise UserError(
            "a .safetensors, but not a code; python -m stylegan_jax.invert makes one"
        )
    layers = sorted(
        int(match[1])
        for name in found
        if (match := re.fullmatch(r"noise\.(\d{1,2})", name))
    )
    ranks_wrong = found["ws"].ndim != 3 or any(
        found[f"noise.{layer}"].ndim != 4 for layer in layers
    )
    if not found["ws"].size:
        raise UserError("a code of no images; the file is damaged")
    if layers != list(range(len(layers))) or ranks_wrong:
        raise UserError("arrays are missing or have other axes; the file is damaged")
    for name, array in found.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UserError(f"{name} is not of finite numbers")
    noise = [found[f"noise.{layer}"].astype(np.float32) for layer in layers]
    return Code(
        jnp.asarray(found["ws"].astype(np.float32)), tuple(map(jnp.asarray, noise))
    )


def _num_noise(generator: Generator) -> int:
    return num_layers(generator.resolution) if generator.config.use_noise else 0
