"""Codes of images (one w and one noise image per layer), and their files.

A .safetensors has `ws`, `noise.0`, `noise.1`, ... and the configuration as JSON text.
Codes of other programs are read without noise: `projected_w.npz` of StyleGAN2-ADA's
projector, and `.npy` of InterFaceGAN and encoders. No file can run code.
"""

import json
import os
import re
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
    """Latents and noise of N images; a pytree.

    Attributes:
        ws: one w per layer, `[N, L, w_dim]`.
        noise: `[N, R, R, 1]` per active layer; empty where the network has none.
    """

    ws: Array
    noise: Noise

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


_draw = jax.jit(draw)


def draw_pictures(generator: Generator, code: Code) -> np.ndarray:
    """The images of a code, uint8 `[N, H, W, C]`."""
    return images.to_uint8(np.asarray(_draw(generator, code)))


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
            f"the code has noise of {[shape[1:3] for shape in found]}, but this "
            f"network takes {count} images of {sizes} px each; it belongs to another "
            "network"
        )


def check_alike(first: Code, *others: Code) -> None:
    """Raises UserError unless codes have equal layers and sizes of w."""
    latents.check_ws(first.ws)
    for other in others:
        latents.check_ws(other.ws, *first.ws.shape[1:])


def from_array(ws: Array | np.ndarray, generator: Generator) -> Code:
    """The code of an array of w, with the stored noise.

    The array is `[D]` or `[1, D]`, one w for all layers; `[L, D]`, one image; `[N, 1,
    D]` or `[N, L, D]`. UserError for others and for values that are not finite.
    """
    num_ws, w_dim = generator.config.num_ws, generator.config.w_dim
    array = np.asarray(ws)
    if array.dtype.kind != "f" or not np.isfinite(array).all() or not array.size:
        raise UserError(f"w codes of {array.dtype} are not finite floats, or none")
    full = array[None, None] if array.ndim == 1 else array
    full = full[None] if full.ndim == 2 else full
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

    Raises:
        UserError: no such file, not a code, damaged, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if path.suffix in (".npy", ".npz"):
        return _load_array(path, generator)
    try:
        found, metadata = array_files.read_safetensors(path)
        about = records.read_json(metadata.get("about", "{}").encode())
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


def _load_array(path: Path, generator: Generator | None) -> StoredCode:
    try:
        if path.suffix == ".npy":
            array = array_files.read_npy(path)
        else:
            found = array_files.read_npz(path)
            keys = [key for key in _KEYS if key in found] or list(found)
            if len(keys) > 1 and keys[0] not in _KEYS:
                raise UserError(f"arrays {', '.join(keys)[:80]}, and none is called w")
            array = found[keys[0]]
        if generator is None:
            raise UserError("a .npy or .npz of w does not say whose; give the network")
        return StoredCode(from_array(array, generator), {})
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: {error}") from error


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
