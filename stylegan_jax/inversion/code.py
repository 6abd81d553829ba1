"""Codes of images (one w and one noise image per layer), and their files.

A .safetensors has `ws`, `noise.0`, `noise.1`, ... and the configuration as JSON text.
Codes of other programs are read without noise: `projected_w.npz` of StyleGAN2-ADA's
projector, and `.npy` of InterFaceGAN and encoders. No file can run code.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import struct
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, images, records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.io.records import to_json
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.config import num_layers
from stylegan_jax.networks.generator import Generator, Noise
from stylegan_jax.ops import latents

SUFFIXES = (".safetensors", ".npy", ".npz")  # of files with codes

_KIND = "stylegan_jax code 1"
_KEYS = ("w", "ws", "w_plus", "latent", "latents", "dlatents")  # of an .npz


@struct.dataclass
class Code:
    """Latents and noise of N images; a pytree."""

    ws: Array  # one w per layer, [N, L, w_dim]
    noise: Noise  # [N, R, R, 1] per active layer; empty where the network has none

    __repr__ = short_repr

    def __len__(self) -> int:
        return self.ws.shape[0]

    def __getitem__(self, some: slice | np.ndarray) -> "Code":
        return Code(self.ws[some], tuple(layer[some] for layer in self.noise))


class StoredCode(NamedTuple):
    """A code and its file's metadata."""

    code: Code
    about: dict[str, Any]

    __repr__ = short_repr


def draw(generator: Generator, code: Code) -> Array:
    """The images of a code, float32 `[N, H, W, C]`, nominally in [-1, 1]."""
    return generator.synthesize(code.ws, code.noise)


drawn = jax.jit(draw)


def draw_pictures(generator: Generator, code: Code) -> np.ndarray:
    """The images of a code, uint8 `[N, H, W, C]`."""
    return images.to_uint8(np.asarray(drawn(generator, code)))


def stored_noise(generator: Generator, count: int) -> Noise:
    """The network's stored noise, repeated for `count` images."""
    return tuple(
        jnp.broadcast_to(layer, (count, *layer.shape[1:]))
        for layer in generator.noise[: _num_noise(generator)]
    )


def check(generator: Generator, code: Code) -> None:
    """Raises UserError unless the code fits the network."""
    config, count = generator.config, code.ws.shape[0]
    latents.check_ws(code.ws, config.num_ws, config.w_dim)
    sizes = latents.noise_sizes(_num_noise(generator))
    found = [layer.shape for layer in code.noise]
    if found != [(count, size, size, 1) for size in sizes]:
        raise UserError(
            f"the code has noise of {[shape[1:3] for shape in found]}, not {count} of "
            f"each of {sizes} px; it belongs to another network"
        )


def from_array(ws: Array | np.ndarray, generator: Generator) -> Code:
    """The code of an array of w, with the stored noise.

    The array is `[D]` or `[1, D]`, one w for all layers; `[L, D]`, one image; `[N, 1,
    D]` or `[N, L, D]`. UserError for others and for values that are not finite.
    """
    num_ws, w_dim = generator.config.num_ws, generator.config.w_dim
    array = np.asarray(ws)
    if array.dtype.kind != "f" or not np.isfinite(array).all() or not array.size:
        raise UserError(f"w codes of {array.dtype} are not finite floats, or none")
    full = array[(None,) * (3 - array.ndim)]
    if full.shape[1:] == (1, w_dim):
        full = full.repeat(num_ws, axis=1)
    fits = full.shape[1:] == (num_ws, w_dim)
    latents.check_ws(full if fits else array, num_ws, w_dim)
    return Code(jnp.asarray(full, jnp.float32), stored_noise(generator, len(full)))


def save(path: str | os.PathLike[str], code: Code, about: Mapping[str, Any]) -> None:
    """Writes a code and JSON metadata to a .safetensors file."""
    stored = {"ws": np.asarray(code.ws)}
    for layer, noise in enumerate(code.noise):
        stored[f"noise.{layer}"] = np.asarray(noise)
    metadata = {"kind": _KIND, "about": json.dumps(to_json(about))}
    atomic_write(Path(path), safetensors.numpy.save(stored, metadata))


def load(
    path: str | os.PathLike[str], generator: Generator | None = None
) -> StoredCode:
    """Reads a file of `save`; given a generator also a .npy or .npz as `from_array`.

    UserError for no such file, not a code, damaged, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        if path.suffix in (".npy", ".npz"):
            if generator is None:
                raise UserError("w of which network? Give it")
            return StoredCode(from_array(_read_array(path), generator), {})
        arrays, metadata = array_files.read_safetensors(path)
        about = records.read_json(metadata.get("about", "{}").encode())
        code = _code_of(metadata, arrays)
        if generator is not None:
            check(generator, code)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is no code of this network, or damaged: {error}; "
            "python -m stylegan_jax.invert makes codes"
        ) from error
    return StoredCode(code, about if isinstance(about, dict) else {})


def _read_array(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return array_files.read_npy(path)
    found = array_files.read_npz(path)
    keys = [key for key in _KEYS if key in found] or list(found)
    if len(keys) > 1 and keys[0] not in _KEYS:
        raise UserError(f"arrays {', '.join(keys)[:80]}, and none is called w")
    return found[keys[0]]


def _code_of(metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Code:
    if metadata.get("kind") != _KIND or "ws" not in arrays:
        raise UserError("not a code")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UserError(f"{name} is not of finite numbers")
    names = ["ws", *(f"noise.{layer}" for layer in range(len(arrays) - 1))]
    ranks = [arrays[name].ndim for name in names if name in arrays]
    if not arrays["ws"].size or ranks != [3] + [4] * (len(arrays) - 1):
        raise UserError("arrays are missing or have other axes; the file is damaged")
    ws, *noise = (jnp.asarray(arrays[name].astype(np.float32)) for name in names)
    return Code(ws, tuple(noise))


def _num_noise(generator: Generator) -> int:
    return num_layers(generator.resolution) if generator.config.use_noise else 0
