"""Loading of genforce's and rosinality's generators from PyTorch files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import genforce, rosinality, state_dict, unpickle
from stylegan_jax.interop.bundle import generator_arrays
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles import torch_file
from stylegan_jax.pickles.pickle_machine import NotAStyleGANPickleError, shown
from stylegan_jax.pickles.torch_file import is_pytorch_file
from stylegan_jax.pickles.torch_pickle import Tensor

__all__ = ["is_pytorch_file", "load_pytorch"]

Which = Literal["smooth", "generator"]

_WANTED = (
    "what can be read are checkpoints of genforce/genforce and "
    "rosinality/style-based-gan-pytorch, or state dictionaries of their StyleGAN "
    "generators"
)
_OFFICIAL = "load the official .pkl that it was converted from instead"

# Text in the first kilobyte of NVIDIA's pickles.
_PICKLES = {
    b"torch_utils": "a StyleGAN2-ADA-PyTorch or StyleGAN3 pickle, which carries code "
    "and holds another architecture",
    b"dnnlib.tflib": "an official TensorFlow pickle, which stylegan_jax.load reads",
    b"tfutil": "a TensorFlow pickle of ProGAN, which stylegan_jax.load reads",
}
# Names in state dictionaries of other projects.
_OTHERS = {
    "synthesis.early_layer.const": "genforce's StyleGAN2, another architecture",
    "layer0.weight": "genforce's ProGAN; load the official .pkl instead",
    "conv1.conv.modulation.weight": "rosinality's StyleGAN2, another architecture",
    "synthesis.b4.const": "StyleGAN2-ADA-PyTorch's, another architecture",
    "synthesis.input.transform": "StyleGAN3's, another architecture",
    "g_synthesis.blocks.4x4.const": f"lernapparat's copy of the official StyleGAN; "
    f"{_OFFICIAL}",
    "g_synthesis.init_block.const": "huangzh13/StyleGAN.pytorch's, which is not "
    "supported",
}
_INNER = ("models", "state_dict", "model")  # where others put state dictionaries


def load_pytorch(
    path: str | os.PathLike[str],
    which: Which = "smooth",
    *,
    resolution: int | None = None,
) -> Generator:
    """StyleGAN generator of a PyTorch file, at the saved growth; executes nothing.

    Supports genforce's files (official networks in another container) and rosinality's;
    see `genforce` and `rosinality`, also for the origin of w_avg and noise.

    Args:
        path: a checkpoint or state dictionary, `.pth`, `.pt` or `.model`.
        which: "smooth", the moving average, or "generator", the one under training;
            ignored for a file with a single network.
        resolution: of rosinality's networks, which do not store it; None infers it.

    Raises:
        NotAStyleGANPickleError: another, damaged, unsafe or unsupported file.
    """
    if which not in genforce.WHICH:
        raise UserError(
            f'which is {which!r}; the generators are "smooth" and "generator"'
        )
    try:
        if not is_pytorch_file(path):
            raise NotAStyleGANPickleError(f"this is {_what_it_is(Path(path))}")
        state = _generator(torch_file.read(path), which)
        found = state_dict.variables(state)
        if rosinality.MARK in found:
            generator = rosinality.convert(found, resolution)
        elif resolution is None:
            generator = genforce.convert(found)
        else:
            raise NotAStyleGANPickleError(
                f"resolution={resolution} is for rosinality's files; this one says "
                "its own"
            )
        for parameter, array in generator_arrays(generator).items():
            if not np.isfinite(array).all():
                raise NotAStyleGANPickleError(
                    f"{parameter} is not finite: the run that saved it had diverged"
                )
        return generator
    except NotAStyleGANPickleError as error:
        raise type(error)(f"{os.fspath(path)}: {error}; {_WANTED}") from None
    except (ArithmeticError, TypeError, ValueError) as error:
        raise NotAStyleGANPickleError(
            f"{os.fspath(path)}: describes no possible network ({shown(error)}); "
            f"{_WANTED}"
        ) from None


def _generator(value: object, which: Which) -> Mapping[object, object]:
    if isinstance(value, Tensor):
        raise NotAStyleGANPickleError(f"holds a plain tensor of shape {value.shape}")
    if not isinstance(value, dict):
        raise NotAStyleGANPickleError(f"holds a {type(value).__name__}, no network")
    if _is_generator(value):
        return value
    for key in _INNER:
        inner = value.get(key)
        if isinstance(inner, dict):
            value = value | inner
            if _is_generator(inner):
                return inner
    states = {
        key: value[key]
        for key in _GENERATORS
        if isinstance(value.get(key), dict) and _is_generator(value[key])
    }
    for family in (genforce.WHICH, rosinality.WHICH):
        if family[which] in states:
            return states[family[which]]
    if states:
        return next(iter(states.values()))
    raise NotAStyleGANPickleError(f"holds {_described(value)}")


_GENERATORS = dict.fromkeys(
    (*genforce.WHICH.values(), *rosinality.WHICH.values()), None
)


def _is_generator(state: Mapping[object, object]) -> bool:
    prefixes = ("", "module.")
    marks = (genforce.MARK, rosinality.MARK)
    return any(prefix + mark in state for prefix in prefixes for mark in marks)


def _described(value: Mapping[object, object]) -> str:
    inner = [state for state in value.values() if isinstance(state, dict)]
    for state in (value, *inner):
        names = {str(name).removeprefix("module.") for name in state}
        for mark, what in _OTHERS.items():
            if mark in names:
                return f"a network of {what}"
    count = sum(isinstance(item, Tensor) for item in value.values())
    names = ", ".join(shown(name) for name in list(value)[:3])
    return f"a dictionary of {len(value)} ({names}, ...), {count} of them tensors"


def _what_it_is(path: Path) -> str:
    with open(path, "rb") as file:
        head = file.read(1024)
    if not head:
        return "an empty file"
    if head.startswith(torch_file.ZIP_MAGIC):
        return "a zip archive, but none of torch.save"
    if head[:1] == b"\x80":
        for module, what in _PICKLES.items():
            if module in head:
                return what
        return "a pickle, but no file of torch.save"
    return unpickle.kind_of(head) or "no PyTorch file"
