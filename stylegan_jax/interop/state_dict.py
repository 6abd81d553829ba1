"""Readers of PyTorch state dictionaries, which raise UserError."""

from collections.abc import Mapping, Sequence

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.pickles.pickle_machine import shown
from stylegan_jax.pickles.torch_pickle import Tensor

Variables = dict[str, np.ndarray]

MAX_MAPPING_LAYERS = 64
_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


def variables(state: Mapping[object, object]) -> Variables:
    """Arrays by name, without the `module.` of `DataParallel`."""
    found: Variables = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"the state dictionary's {shown(name)} is no tensor")
        found[name.removeprefix("module.")] = value.array()
    return found


def shape_of(found: Variables, name: str, ndim: int) -> tuple[int, ...]:
    """Shape of a required array of `ndim` axes."""
    array = found.get(name)
    if array is None or array.ndim != ndim:
        what = "is missing" if array is None else f"is {array.shape}, not {ndim}-D"
        raise UserError(f"{name} {what}")
    return array.shape


def count_of(found: Variables, name: str, limit: int) -> int:
    """Number of arrays `name`, whose `{i}` counts from 0; 1 to `limit`."""
    count = 0
    while name.format(i=count) in found and count <= limit:
        count += 1
    if not 1 <= count <= limit:
        raise UserError(f"there are {count} of {name.format(i='N')}, not 1 to {limit}")
    return count


def channel_rule(widths: Mapping[int, int]) -> tuple[int, int]:
    """`channel_base` and `channel_max` that give these channels by resolution."""
    channel_max = max(widths.values())
    channel_base = max(size * width for size, width in widths.items())
    for size, width in widths.items():
        if min(channel_base // size, channel_max) != width:
            raise UserError(
                f"{width} channels at {size} px are not min({channel_base} / {size}, "
                f"{channel_max}): its widths follow no rule of StyleGAN's"
            )
    return channel_base, channel_max


def drop_blur(found: Variables, names: Sequence[str]) -> None:
    """Removes stored low-pass filters, which must be [1, 2, 1]."""
    for name in names:
        kernel = found.pop(name, None)
        if kernel is None or kernel.ndim != 4 or kernel.shape[1:] != (1, 3, 3):
            raise UserError(f"{name} is missing or no 3x3 filter")
        if not np.allclose(kernel, _BLUR, rtol=1e-3):
            raise UserError(f"{name} is another filter than [1, 2, 1]")
