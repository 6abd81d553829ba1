"""Feature networks as exported JAX functions (`.jaxexport`).

A file is a StableHLO program of array operations with its constants, neither Python
nor a pickle. Programs with anything else are rejected, and each is tried in a process
apart first. It needs `flatbuffers`: `pip install 'stylegan_jax[export]'`.

    def embed(images):  # float32 [N, 112, 112, 3], 0 to 255
        return my_network.apply(params, images / 127.5 - 1)  # [N, 512]

    exported_function.save(embed, "faces.jaxexport", resolution=112)

`features/vgg16.py` is an example of a ported network.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array, export, lax

from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.io import programs

_GPUS = ("cuda", "rocm")
_PLATFORMS = ("cpu", *_GPUS, "tpu")
_AGAIN = "features.exported_function.save"


def save(
    function: Callable[[Array], Array],
    path: str | os.PathLike[str],
    *,
    resolution: int | None = None,
    dtype: Literal["float32", "uint8"] = "float32",
) -> None:
    """Exports images `[N, H, W, 3]`, 0 to 255, to features `[N, size]` as `.jaxexport`.

    It runs on CPUs, GPUs and TPUs. Images of other sizes than `resolution` are resized
    to it; None takes any. "float32" keeps the derivative too; "uint8" has none.
    """
    sides = "h, w" if resolution is None else f"{resolution}, {resolution}"
    shape = export.symbolic_shape(f"n, {sides}, 3")
    images = jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    exported = export.export(jax.jit(function), platforms=_PLATFORMS)(images)
    _check(exported, str(path))
    programs.write(path, exported, vjp_order=1 if dtype == "float32" else 0)


def load(path: str | os.PathLike[str]) -> FrozenNetwork:
    """Loads a file of `save`, or of `jax.export` with the same signature.

    The function takes uint8 or float images of 0 to 255 and of any size, which are
    resized (linearly, antialiased) and grouped to what the program takes. Raises
    UserError for damaged files, other signatures, and programs that do not run on this
    machine or call out of the program.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    digest = programs.require(path, again=_AGAIN)
    exported = programs.read(path, again=_AGAIN)
    size = _check(exported, str(path))
    backend = jax.default_backend()
    if not {backend, *_GPUS * (backend == "gpu")} & {*exported.platforms}:
        raise UserError(
            f"{path} was exported for {', '.join(exported.platforms)}, not for "
            f"{backend}; export it with platforms={_PLATFORMS}"
        )
    call = _call(exported, path, digest)
    # Caches identify networks by parameters; here weights are in the program.
    params = {"sha256": jnp.frombuffer(bytes.fromhex(digest), jnp.uint8)}
    return FrozenNetwork(path.stem, size, params, lambda _, images: call(images))


def _check(exported: export.Exported, name: str) -> int:
    """Size of the features; rejects other signatures."""
    taken, given = exported.in_avals, exported.out_avals
    right = (
        len(taken) == len(given) == 1
        and exported.in_tree == jax.tree.structure(((0,), {}))
        and taken[0].ndim == 4
        and taken[0].shape[3] == 3
        and taken[0].dtype in (jnp.uint8, jnp.float32)
        and given[0].ndim == 2
        and isinstance(given[0].shape[1], int)
        and given[0].shape[0] == taken[0].shape[0]
        and jnp.issubdtype(given[0].dtype, jnp.floating)
        and exported.nr_devices == 1
    )
    if not right:
        words = [", ".join(map(str, avals)) or "nothing" for avals in (taken, given)]
        raise UserError(
            f"{name} takes {words[0]} and gives {words[1]}; a feature file takes one "
            "array of images, uint8 or float32[N,H,W,3], and gives one of "
            "float[N,size], on one device"
        )
    return given[0].shape[1]


def _call(
    exported: export.Exported, path: Path, digest: str
) -> Callable[[Array], Array]:
    """Program for images of any size and number; a child tries each size first."""
    count, *sides, _ = exported.in_avals[0].shape
    dtype = exported.in_avals[0].dtype

    def plain(images: Array) -> Array:
        if dtype == jnp.uint8 and images.dtype != dtype:
            images = jnp.clip(jnp.round(images), 0, 255)
        return exported.call(images.astype(dtype))

    run: Any = plain
    if dtype == jnp.uint8 or not exported.has_vjp():
        # An error rather than the zero derivative of rounding.
        run = jax.custom_vjp(plain)
        run.defvjp(lambda images: _no_derivative(path), lambda *_: ())

    def features(images: Array) -> Array:
        # A symbolic side takes any size.
        pairs = zip(sides, images.shape[1:3], strict=True)
        height, width = (x if isinstance(x, int) else own for x, own in pairs)
        if (height, width) != images.shape[1:3]:
            shape = (len(images), height, width, 3)
            images = jax.image.resize(images.astype(jnp.float32), shape, "linear")
        called = [count if isinstance(count, int) else len(images), height, width, 3]
        programs.require(path, [called], again=_AGAIN, digest=digest)
        try:
            return _grouped(run, images, called[0]).astype(jnp.float32)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{path} refuses these images: {error}") from error

    return features


def _grouped(run: Callable[[Array], Array], images: Array, count: int) -> Array:
    """`run` on groups of `count` images; the last is padded."""
    if len(images) == count:
        return run(images)
    groups = -(-len(images) // count)
    surplus = groups * count - len(images)
    padded = jnp.pad(images, ((0, surplus), (0, 0), (0, 0), (0, 0)), "edge")
    found = lax.map(run, padded.reshape(groups, count, *images.shape[1:]))
    return found.reshape(groups * count, -1)[: len(images)]


def _no_derivative(path: Path) -> Any:
    raise UserError(
        f"{path} was exported without its derivative, so images cannot be optimised "
        "for it; export float32 images with vjp_order=1, as exported_function.save does"
    )
