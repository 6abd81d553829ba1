"""Augmentations and the random values that parametrise them.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited
Data", appendix B; presets as in NVlabs/stylegan2-ada-pytorch.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

# Parameters by augmentation, `[N]` or `[N, parts]`; see `neutral`.
Values = dict[str, Array]

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
_COMBINED = {
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}
PIPES: dict[str, tuple[str, ...]] = GROUPS | {
    name: tuple(one for group in groups for one in GROUPS[group])
    for name, groups in _COMBINED.items()
}


# Makes a value from a number: uniform in [0, 1), normal, or none.
_Make = Callable[[Array], Array]
_Kind = tuple[str, _Make, float, int]


def _power(deviation: float) -> tuple[str, _Make, float]:
    return "normal", lambda x: jnp.exp2(x * deviation), 1


def _normal(deviation: float) -> tuple[str, _Make, float]:
    return "normal", lambda x: x * deviation, 0


def _between(limit: float) -> tuple[str, _Make, float]:
    return "uniform", lambda x: (2 * x - 1) * limit, 0


def _below(count: int) -> tuple[str, _Make, float]:
    return "uniform", lambda x: jnp.floor(x * count), 0


# Name: distribution, value that changes nothing, numbers per image.
_KINDS: dict[str, _Kind] = {
    "xflip": (*_below(2), 1),  # 1: mirrored
    "rotate90": (*_below(4), 1),  # quarter turns, counterclockwise
    "xint": (*_between(0.125), 2),  # of the size; rounded to pixels
    "scale": (*_power(0.2), 1),
    "rotate": (*_between(math.pi), 1),  # radians; before `aniso`
    "rotate_after": (*_between(math.pi), 1),
    "aniso": (*_power(0.2), 1),  # x times this, y divided by it
    "xfrac": (*_normal(0.125), 2),  # of the size
    "brightness": (*_normal(0.2), 1),
    "contrast": (*_power(0.5), 1),
    "lumaflip": (*_below(2), 1),
    "hue": (*_between(math.pi), 1),  # radians
    "saturation": (*_power(1.0), 1),
    "imgfilter": (*_power(1.0), 4),  # gain of each octave band
    "noise": ("normal", lambda x: jnp.abs(x * 0.1), 0, 1),  # standard deviation
    "cutout": ("uniform", lambda x: jnp.full_like(x, 0.5), 0, 1),  # side, of the size
}


def draw(
    key: Array, names: tuple[str, ...], p: Array | float, shape: tuple[int, ...]
) -> Values:
    """Draws values, by name, for images of shape `[N, H, H, C]`.

    `p` is the probability of each augmentation in `names`. Some add `rotate_after`,
    `noise_map` `[N, H, H, C]` or `cutout_center` `[N, 2]` (x and y, fractions of the
    size).
    """
    names = tuple(name for name in _KINDS if name.removesuffix("_after") in names)
    # In three calls, as each takes seconds to compile.
    gate_key, value_key, normal_key, map_key = jax.random.split(key, 4)
    columns = 4 * len(names) + 2
    gates = jax.random.uniform(gate_key, (shape[0], columns))
    numbers = {
        "uniform": jax.random.uniform(value_key, (shape[0], columns)),
        "normal": jax.random.normal(normal_key, (shape[0], columns)),
    }
    # Two turns, one before and one after `aniso`, or neither with probability 1 - p.
    once = 1 - jnp.sqrt(jnp.clip(1 - jnp.asarray(p, jnp.float32), 0, 1))
    values = {}
    for i, name in enumerate(names):
        distribution, make, neutral, parts = _KINDS[name]
        own = slice(4 * i, 4 * i + parts)
        # Filter bands are gated separately.
        gate = gates[:, own] if name == "imgfilter" else gates[:, 4 * i : 4 * i + 1]
        chance = once if name in ("rotate", "rotate_after") else p
        value = jnp.where(gate < chance, make(numbers[distribution][:, own]), neutral)
        values[name] = value[:, 0] if parts == 1 else value
    if "noise" in names:
        values["noise_map"] = jax.random.normal(map_key, shape)
    if "cutout" in names:
        values["cutout_center"] = numbers["uniform"][:, -2:]
    return values
