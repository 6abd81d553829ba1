"""Encoder: images to latents of w+ in one pass.

A small convolutional network that `train_encoder` fits to one generator. It gives one w
per image and a small difference from it per layer (Tov et al. 2021, "Designing an
encoder for StyleGAN image manipulation", section 4), since latents near to w can be
edited.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import spaces
from stylegan_jax.io import array_files, records
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.limits import require
from stylegan_jax.metrics import store
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops import convolution, resample

FORMAT = "stylegan_jax encoder"
VERSION = 1
_KEY = "stylegan_jax"
_MAX_SIZE = 1 << 14  # bound on each number of the architecture
_SLOPE = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """Sizes of an encoder: of its images, of w+, and of its layers.

    A convolution at R pixels has `channel_base / R` channels, at most `channel_max`.
    """

    resolution: int
    num_channels: int
    num_ws: int
    w_dim: int
    channel_base: int = 2048
    channel_max: int = 128
    hidden: int = 256

    def __post_init__(self) -> None:
        names = [field.name for field in dataclasses.fields(self)]
        between = f"not from 1 to {_MAX_SIZE}"
        require(self, "encoder", lambda x: 1 <= x <= _MAX_SIZE, between, *names)

    def channels(self, resolution: int) -> int:
        """Number of channels at a resolution."""
        return min(self.channel_max, max(self.channel_base // resolution, 1))


class _Conv(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        # Not flax's: see `ops.convolution` on derivatives inside of scans.
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape[-1:])
        return nn.leaky_relu(
            convolution.conv(x, kernel) + bias[None, None, None], _SLOPE
        )


class EncoderNetwork(nn.Module):
    """Images `[N, R, R, C]` in [-1, 1] to w and differences, `[N, 1 + L, w_dim]`."""

    shape: EncoderShape

    @nn.compact
    def __call__(self, x: Array) -> Array:  # noqa: D102
        shape, side = self.shape, self.shape.resolution
        x = _Conv(shape.channels(side), name=f"image{side}")(x)
        while side > 4:
            x = _Conv(shape.channels(side), name=f"conv{side}")(x)
            side //= 2
            x = resample.downsample(x, 2)
            x = _Conv(shape.channels(side), name=f"down{side}")(x)
        x = nn.Dense(shape.hidden, name="hidden")(x.reshape(len(x), -1))
        x = nn.leaky_relu(x, _SLOPE)
        # Without differences at first.
        zeros = nn.initializers.zeros_init()
        w = nn.Dense(shape.w_dim, name="w")(x)
        delta = nn.Dense(shape.num_ws * shape.w_dim, kernel_init=zeros, name="delta")(x)
        delta = delta.reshape(len(x), shape.num_ws, shape.w_dim)
        return jnp.concatenate([w[:, None], delta], axis=1)


@struct.dataclass
class Encoder:
    """A trained encoder, a pytree; called with images it gives w+.

    Attributes:
        params: of `EncoderNetwork`.
        mean: of the generator's w, `[w_dim]`.
        std: of each component of w, `[w_dim]`; outputs are in these units.
        shape: its sizes.
        generator: digest of the generator that it was trained for.
    """

    params: Any
    mean: Array
    std: Array
    shape: EncoderShape = struct.field(pytree_node=False)
    generator: str = struct.field(pytree_node=False, default="")

    def parts(self, images: Array) -> tuple[Array, Array]:
        """w and the layers' differences from it, `[N, L, w_dim]`, in units of `std`."""
        out = EncoderNetwork(self.shape).apply({"params": self.params}, images)
        assert isinstance(out, Array)
        return out[:, :1], out[:, 1:]

    def __call__(self, images: Array) -> Array:
        """w+, `[N, L, w_dim]`, of images `[N, R, R, C]` in [-1, 1]."""

        def estimate(image: Array) -> Array:
            w, delta = self.parts(image[None])
            return self.in_w(w + delta)[0]

        # One at a time: an estimate does not depend on the other images.
        return jax.lax.map(estimate, images)

    def in_w(self, units: Array) -> Array:
        """w of numbers in units of `std` from the mean."""
        return self.mean[None, None] + self.std[None, None] * units


def digest(generator: Generator) -> str:
    """Digest of a generator's arrays, as encoders store it."""
    return store.digest(generator.params)


def init_encoder(key: Array, generator: Generator, **sizes: int) -> Encoder:
    """An untrained encoder for a generator; `sizes` are fields of `EncoderShape`.

    Raises UserError as `shape_for`.
    """
    shape = shape_for(generator, **sizes)
    images = jnp.zeros((1, shape.resolution, shape.resolution, shape.num_channels))
    params = jax.jit(EncoderNetwork(shape).init)(key, images)["params"]
    w = spaces.w_statistics(generator, labels=spaces.every_class(generator))
    return Encoder(params, w.mean, w.deviations, shape, digest(generator))


def shape_for(generator: Generator, **sizes: int) -> EncoderShape:
    """The shape of a generator's encoder; `sizes` are its other fields.

    Raises UserError for networks without styles or of points, and sizes out of range.
    """
    config = generator.config
    if not config.use_styles or generator.resolution < 8:
        raise UserError("an encoder needs a network with styles, of 8 px or more")
    return EncoderShape(
        resolution=generator.resolution,
        num_channels=config.num_channels,
        num_ws=config.num_ws,
        w_dim=config.w_dim,
        **sizes,
    )


def check(encoder: Encoder, generator: Generator) -> None:
    """Raises UserError if the encoder is of another generator."""
    if encoder.generator != digest(generator):
        raise UserError(
            "the encoder is of another network, or of this one before it was trained "
            "on; python -m stylegan_jax.encoder NETWORK trains one"
        )


def save(path: str | os.PathLike[str], encoder: Encoder) -> None:
    """Writes an encoder, `.safetensors` in float16, atomically.

    Raises UserError for values that are not finite there.
    """
    arrays: dict[str, np.ndarray] = {
        "mean": np.asarray(encoder.mean, np.float32),
        "std": np.asarray(encoder.std, np.float32),
    }
    for name, array in flatten_dict(encoder.params, sep=".").items():
        with np.errstate(over="ignore"):  # told below
            arrays[f"params.{name}"] = np.asarray(array, np.float16)
    if not all(np.isfinite(x).all() for x in arrays.values()):
        raise UserError(
            "the encoder holds values that are not finite in float16; train it with a "
            "smaller `learning_rate`"
        )
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "shape": dataclasses.asdict(encoder.shape),
        "generator": encoder.generator,
    }
    data = safetensors.numpy.save(arrays, {_KEY: json.dumps(metadata)})
    atomic_write(Path(path), data)


def load(path: str | os.PathLike[str]) -> Encoder:
    """Reads an encoder of `save`; raises UserError for other and damaged files."""
    path = Path(path)
    try:
        header = array_files.read_safetensors_header(path)
        metadata = records.read_json(header.get(_KEY, "null").encode())
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise UserError("it is of another kind")
        if metadata.get("version") != VERSION:
            raise UserError(f"it is of version {metadata.get('version')!r}")
        fields = {field.name: int for field in dataclasses.fields(EncoderShape)}
        records.check(metadata, {"shape": fields, "generator": str})
        shape = EncoderShape(**metadata["shape"])
        arrays, _ = array_files.read_safetensors(path)
        wanted = _shapes(shape)
        if {name: x.shape for name, x in arrays.items()} != wanted:
            raise UserError("its arrays are not those it describes")
        if not all(np.isfinite(x).all() for x in arrays.values()):
            raise UserError("it holds values that are not finite")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not an encoder of this program: {error}") from error
    params = _of_params({k: jnp.asarray(x, jnp.float32) for k, x in arrays.items()})
    mean, std = jnp.asarray(arrays["mean"]), jnp.asarray(arrays["std"])
    return Encoder(params, mean, std, shape, metadata["generator"])


def _of_params(arrays: Mapping[str, Any]) -> Any:
    prefix = "params."
    flat = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    return unflatten_dict(flat, sep=".")


def _shapes(shape: EncoderShape) -> dict[str, tuple[int, ...]]:
    size = (1, shape.resolution, shape.resolution, shape.num_channels)
    images = jax.ShapeDtypeStruct(size, jnp.float32)
    init = EncoderNetwork(shape).init
    params: Any = jax.eval_shape(init, jax.random.key(0), images)["params"]
    leaves: dict[str, Any] = flatten_dict(params, sep=".")
    flat = {f"params.{name}": leaf.shape for name, leaf in leaves.items()}
    return flat | {"mean": (shape.w_dim,), "std": (shape.w_dim,)}
