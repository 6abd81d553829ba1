"""Weights of the frozen networks, fetched, read without PyTorch, and checked.

Sources of addresses: `torchvision/models/*.py`; `inception.py` of
mseitzer/pytorch-fid; richzhang/PerceptualSimilarity.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.io import array_files, cache
from stylegan_jax.io import fetch as fetching
from stylegan_jax.pickles import torch_file, torch_pickle
from stylegan_jax.pickles.pickle_machine import shown

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightFile:
    """Published file of weights; `max_bytes` bounds the download.

    `sha256` is as far as published: PyTorch's file names have the first 8 digits.
    """

    content: str
    url: str
    file_name: str
    sha256: str
    max_bytes: int
    licence: str


def _torchvision(content: str, name: str, sha256: str, max_bytes: int) -> WeightFile:
    return WeightFile(
        content=content,
        url=f"https://download.pytorch.org/models/{name}-{sha256}.pth",
        file_name=f"{name}-{sha256}.pth",
        sha256=sha256,
        max_bytes=max_bytes,
        licence=f"{content}'s weights: torchvision's (BSD-3-Clause), trained on "
        "ImageNet, whose terms may bind too; https://github.com/pytorch/vision",
    )


VGG16 = _torchvision("VGG16", "vgg16", "397923af", 600_000_000)
ALEXNET = _torchvision("AlexNet", "alexnet-owt", "7be5be79", 300_000_000)
SQUEEZENET = _torchvision("SqueezeNet 1.1", "squeezenet1_1", "b8a52dc0", 10_000_000)
INCEPTION = WeightFile(
    content="the Inception network of 2015",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    file_name="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
    max_bytes=150_000_000,
    licence="Inception's weights: Google's of 2015, as pytorch-fid converted them "
    "(Apache-2.0); https://github.com/mseitzer/pytorch-fid",
)
LPIPS = {
    network: WeightFile(
        content=f"LPIPS's weights for {network}",
        url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
        f"lpips/weights/v0.1/{network}.pth",
        file_name=f"lpips_v0.1_{network}.pth",
        sha256=sha256,
        max_bytes=100_000,
        licence="LPIPS's weights: BSD-2-Clause; "
        "https://github.com/richzhang/PerceptualSimilarity",
    )
    for network, sha256 in {
        "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "squeeze": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
    }.items()
}


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
    check(found, shapes, f"{path} is not {source.content}, or damaged:")
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


def cached(source: WeightFile) -> bool:
    """Whether the file has been fetched, or put into the cache by hand."""
    return _place(source).exists()


def _place(source: WeightFile) -> Path:
    return cache.folder("features") / source.file_name


def fetch(source: WeightFile) -> Path:
    """Path of the file in the cache, downloaded and verified if it is missing."""
    path = _place(source)
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


def read(path: str | os.PathLike[str]) -> Arrays:
    """All arrays of a PyTorch, .safetensors or .npz file by name."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        if torch_file.is_pytorch_file(path):
            return torch_pickle.arrays_of(torch_file.read(path))
        if path.suffix == ".safetensors":
            return array_files.read_safetensors(path)[0]
        if path.suffix == ".npz":
            return array_files.read_npz(path)
        raise UserError("no PyTorch file, .safetensors or .npz")
    except (OSError, ValueError) as error:
        known = isinstance(error, UserError | OSError)
        reason = str(error) if known else f"damaged: {shown(error)}; fetch it again"
        raise UserError(f"{path}: {reason}") from error


def check(found: Arrays, shapes: Mapping[str, tuple[int, ...]], wrong: str) -> None:
    """Makes arrays float32; UserError unless they are finite and of these shapes."""
    problems = [
        f"{what} {_listed(sorted(names))}"
        for what, names in (
            ("missing", shapes.keys() - found.keys()),
            ("surplus", found.keys() - shapes.keys()),
        )
        if names
    ]
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


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(map(shown, names[:4])) + more
