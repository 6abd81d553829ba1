"""Weights of the frozen networks, fetched, read without PyTorch, and checked."""

import os
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features.public_weights import WeightFile
from stylegan_jax.io import array_files, cache
from stylegan_jax.io import fetch as fetching
from stylegan_jax.pickles import torch_file
from stylegan_jax.pickles.pickle_machine import shown
from stylegan_jax.pickles.torch_pickle import Tensor

Arrays = dict[str, np.ndarray]

_SHOWN_NAMES = 4  # of many that are wrong


def load(
    source: WeightFile,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    path: str | os.PathLike[str] | None = None,
    unused: tuple[str, ...] = (),
) -> Arrays:
    """Complete float32 weights of `shapes` by name, in the file's layout.

    `path` is the user's .pth, .pt, .safetensors or .npz; None fetches `source`. Names
    with a prefix or suffix of `unused` are skipped. Raises UserError if the weights are
    unavailable, damaged or of another network.
    """
    path = fetch(source) if path is None else Path(path)
    found = {
        name: array
        for name, array in read(path).items()
        if name in shapes or not (name.startswith(unused) or name.endswith(unused))
    }
    _check(found, shapes, f"{path} is not {source.content}, or damaged:")
    return found


def parameters(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Float32 parameters of arrays in PyTorch's layout.

    `[O, I, h, w]` to `[h, w, I, O]`, `[O, I]` to `[I, O]`; the rest stays.
    """
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}
    return {
        name: jnp.asarray(
            array.transpose(axes.get(array.ndim, range(array.ndim))), jnp.float32
        )
        for name, array in arrays.items()
    }


def fetch(source: WeightFile) -> Path:
    """Path of the file in the cache, downloaded and verified if it is missing."""
    path = cache.folder("features") / source.file_name
    more = "..." if len(source.sha256) < 64 else ""
    return fetching.fetch(
        path,
        [source.url],
        content=source.content,
        max_bytes=source.max_bytes,
        notice=source.licence,
        sha256=source.sha256,
        by_hand=f"once you have {source.url} by other means, put it at {path} (SHA-256 "
        f"{source.sha256}{more})",
    )


# --- Files -------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Arrays:
    """All arrays of a PyTorch, .safetensors or .npz file by name."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        if torch_file.is_pytorch_file(path):
            return _pytorch_arrays(torch_file.read(path))
        if path.suffix == ".safetensors":
            return array_files.read_safetensors(path)[0]
        if path.suffix == ".npz":
            return array_files.read_npz(path)
        raise UserError("no PyTorch file, .safetensors or .npz")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({shown(error)}); fetch it again"
        ) from error


def _pytorch_arrays(value: object) -> Arrays:
    if not isinstance(value, Mapping):
        raise UserError(f"a {type(value).__name__}, no state_dict()")
    found: Arrays = {}
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{shown(name)} is no tensor")
        found[name] = tensor.array()
    return found


def _check(found: Arrays, shapes: Mapping[str, tuple[int, ...]], wrong: str) -> None:
    """Raises unless arrays have these shapes and are finite."""
    problems: list[str] = []
    for what, names in (
        ("missing", shapes.keys() - found.keys()),
        ("surplus", found.keys() - shapes.keys()),
    ):
        if names:
            problems.append(f"{what} {_listed(names)}")
    for name in sorted(shapes.keys() & found.keys()):
        array = found[name]
        if array.shape != shapes[name]:
            problems.append(f"{name} is {array.shape}, not {shapes[name]}")
        elif array.dtype.kind != "f" or not np.isfinite(array).all():
            problems.append(f"{name} is not of finite numbers")
        else:
            found[name] = array.astype(np.float32, copy=False)
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise UserError(f"{wrong} {'; '.join(problems[:4])}{more}")


def _listed(names: set[str]) -> str:
    some = [shown(name) for name in sorted(names)[:_SHOWN_NAMES]]
    more = f" and {len(names) - len(some)} more" if len(names) > len(some) else ""
    return ", ".join(some) + more
