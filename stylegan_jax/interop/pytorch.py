"""Loading of genforce's and rosinality's generators from PyTorch files."""

import os
from collections.abc import Mapping

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import genforce, rosinality
from stylegan_jax.interop.bundle import Bundle, Which, generator_arrays
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles import torch_file
from stylegan_jax.pickles.pickle_machine import reading, shown
from stylegan_jax.pickles.torch_pickle import arrays_of

_WANTED = (
    "; what can be read are checkpoints of genforce/genforce and "
    "rosinality/style-based-gan-pytorch, or state dictionaries of their StyleGAN "
    "generators"
)
_INNER = ("models", "state_dict", "model")  # where others put state dictionaries
# Keys of generators in checkpoints: genforce's, rosinality's, then the other one.
_KEYS: dict[Which, tuple[str, ...]] = {
    "ema": ("generator_smooth", "g_running", "generator"),
    "raw": ("generator", "generator_smooth", "g_running"),
}


def load_bundle(path: str | os.PathLike[str], only: Which | None = None) -> Bundle:
    """Both StyleGAN generators of a PyTorch file, or `only` one; executes nothing.

    They are as far grown as they were saved; a file with one network has it as both.
    Supports genforce's files (official networks in another container) and rosinality's;
    see `genforce` and `rosinality`, also for the origin of w_avg and noise.

    Raises UserError for another, damaged, unsafe or unsupported file.
    """
    with reading(path, _WANTED):
        value = torch_file.read(path)
        wanted: list[Which] = ["ema", "raw"] if only is None else [only]
        generators = [_converted(_generator(value, which)) for which in wanted]
    return Bundle(
        generator=generators[0],
        raw=generators[1] if only is None else None,
        source=os.path.basename(path),
    )


def _converted(state: Mapping[object, object]) -> Generator:
    found = arrays_of(state)
    family = rosinality if rosinality.MARK in found else genforce
    generator = family.convert(found)
    for parameter, array in generator_arrays(generator).items():
        if not np.isfinite(array).all():
            raise UserError(
                f"{parameter} is not finite: the run that saved it had diverged"
            )
    return generator


def _generator(value: object, which: Which) -> Mapping[object, object]:
    if not isinstance(value, dict):
        raise UserError(f"holds a {type(value).__name__}, no network")
    inner = [value, *(value[x] for x in _INNER if isinstance(value.get(x), dict))]
    candidates = [*inner, *(x.get(key) for key in _KEYS[which] for x in inner)]
    for state in candidates:
        if isinstance(state, dict) and _is_generator(state):
            return state
    names = ", ".join(shown(name) for name in list(value)[:3])
    raise UserError(
        f"holds a dictionary of {len(value)} ({names}, ...), no such network"
    )


def _is_generator(state: Mapping[object, object]) -> bool:
    prefixes = ("", "module.")
    marks = (genforce.MARK, rosinality.MARK)
    return any(prefix + mark in state for prefix in prefixes for mark in marks)
