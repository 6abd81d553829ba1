"""Transfer learning: training that begins from trained networks.

Source: `--resume` of NVlabs/stylegan2-ada-pytorch; freezing, Mo et al. 2020, "Freeze
the Discriminator".
"""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.runs import stored
from stylegan_jax.training.adaptive import AugmentConfig
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import ScheduleConfig, phases
from stylegan_jax.training.state import OptimizerConfig, TrainState

# Fields of the train state that are copied, in the table's order.
_FIELDS = {
    "g_params": "generator",
    "g_ema": "its average",
    "d_params": "discriminator",
    "w_avg": "mean of w",
    "noise": "stored noise",
}
# Settings of the networks that depend on the data and the machine.
_OF_THE_RECIPE = ("num_channels", "label_size", "dtype", "remat")
# ADA's value for transfer learning.
_KIMG = 100.0
# Until a new discriminator tells a trained generator's samples from images; with both
# trained at once its scores of all images stay 0, and samples blur (docs/results.md).
D_ALONE_KIMG = 8.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beginning:
    """Trained networks to begin from; `fields` are those of their train state."""

    name: str  # for people
    config: ModelConfig
    resolution: int  # as far as they have grown, in pixels
    fields: Mapping[str, Any]
    kimg: float = 0.0  # thousands of images that count as shown


class Row(NamedTuple):
    """Outcome of one part of the state, in numbers of arrays."""

    part: str
    copied: int
    total: int
    fresh: Mapping[str, int]  # by reason


def with_networks(
    recipe: Config, theirs: ModelConfig, resolution: int, g_from_kimg: float = 0.0
) -> Config:
    """The recipe with another configuration's networks.

    Classes and channels stay the data's. Growing begins at `resolution` pixels, at
    most that of the networks. Adaptive augmentation is quicker, as in ADA, and the
    generator waits until `g_from_kimg`, unless the recipe has its own values.
    """
    kept = {name: getattr(recipe.model, name) for name in _OF_THE_RECIPE}
    model = dataclasses.replace(theirs, **kept)
    lowest = min(resolution, model.resolution)
    schedule = dataclasses.replace(recipe.schedule, initial_resolution=lowest)
    augment = recipe.augment
    if augment.kimg == AugmentConfig.kimg:
        augment = dataclasses.replace(augment, kimg=_KIMG)
    optimizer = recipe.optimizer
    if not optimizer.g_from_kimg:
        optimizer = dataclasses.replace(optimizer, g_from_kimg=g_from_kimg)
    return dataclasses.replace(
        recipe, model=model, schedule=schedule, augment=augment, optimizer=optimizer
    )


def first_image(config: ScheduleConfig, final_resolution: int, kimg: float) -> int:
    """Image count, at a call's end, of a run from `kimg`; UserError past its end."""
    nimg = kimg * 1000
    for phase in phases(config, final_resolution):
        if nimg < phase.end_nimg:
            calls = max(int(nimg - phase.start_nimg) // phase.step_nimg, 0)
            return phase.start_nimg + calls * phase.step_nimg
    raise UserError(
        f"`init_kimg` {kimg:g} is not below schedule.total_kimg "
        f"{config.total_kimg:g}: nothing would be trained; raise the latter"
    )


def check_frozen(config: OptimizerConfig, beginning: Beginning | None) -> None:
    """Raises UserError if a new run would freeze layers of random weights."""
    if not config.freeze_d or (beginning and "d_params" in beginning.fields):
        return
    lacks = (
        f"{beginning.name} comes without its discriminator"
        if beginning
        else "there is no network to begin from"
    )
    raise UserError(
        f"optimizer.freeze_d {config.freeze_d} would keep random weights as they are: "
        f"{lacks}; give `init` a run or a pickle that has one, or leave it 0"
    )


def adopt(
    state: TrainState, model: ModelConfig, beginning: Beginning
) -> tuple[TrainState, list[Row]]:
    """A new state with the other networks' arrays that fit by name and shape.

    Class counts are adapted: an added class does nothing at first, all classes get
    the one score there was, and the other way round their mean.

    Raises UserError if nothing of the generator fits.
    """
    rows, changed = [], {}
    for field, part in _FIELDS.items():
        whole = getattr(state, field)
        ours = stored.named_leaves({field: whole})
        theirs = stored.named_leaves({field: beginning.fields.get(field)})
        found, fresh = {}, collections.Counter()
        for name, leaf in ours.items():
            value = theirs.get(name)
            fitted = _fitted(name, value, leaf.shape, beginning.config, model)
            if fitted is not None:
                found[name] = fitted
            elif not theirs:
                fresh["not in the file"] += 1
            elif value is None:
                fresh["of a resolution or layer that it lacks"] += 1
            else:
                sizes = [
                    "x".join(map(str, shape)) for shape in (value.shape, leaf.shape)
                ]
                fresh["of another size ({}, not {})".format(*sizes)] += 1
        rows.append(Row(part, len(found), len(ours), fresh))
        if found:
            leaves = [jnp.array(found.get(name, x)) for name, x in ours.items()]
            changed[field] = jax.tree.unflatten(jax.tree.structure(whole), leaves)
    if not rows[0].copied:
        reasons = ", ".join(rows[0].fresh)
        raise UserError(
            f"`init` {beginning.name} has nothing in common with the networks to be "
            f"trained ({reasons}); leave flags of the model out to take its "
            "architecture, or leave `init` out"
        )
    return dataclasses.replace(state, **changed), rows


def table(beginning: Beginning, rows: list[Row]) -> str:
    """Table of copied and fresh parts, with reasons."""
    lines = [f"begun from {beginning.name}, {beginning.resolution} px:"]
    for row in rows:
        if row.total:
            because = "; ".join(f"{count} {why}" for why, count in row.fresh.items())
            fresh = f"   fresh: {because}" if because else ""
            counts = f"{row.copied:>3} of {row.total}"
            lines.append(f"  {row.part:<14} {counts} arrays{fresh}")
    return "\n".join(lines)


def _fitted(
    name: str,
    value: Array | None,
    shape: tuple[int, ...],
    theirs: ModelConfig,
    ours: ModelConfig,
) -> Array | np.ndarray | None:
    """The array in the shape wanted; None where it cannot be had."""
    if value is None or value.shape == shape:
        return value
    if theirs.label_size == ours.label_size:
        return None
    array = np.asarray(value)
    if name.endswith("mapping/dense0/weight") and array.shape[1:] == shape[1:]:
        if theirs.z_dim != ours.z_dim:
            return None
        rows = np.zeros(shape, array.dtype)
        # The layer divides by the root of its number of inputs.
        scale = np.sqrt(shape[0] / array.shape[0])
        rows[: ours.z_dim] = array[: ours.z_dim] * scale
        return rows.astype(array.dtype)
    if "block4/dense1/" in name and array.shape[:-1] == shape[:-1]:
        return np.broadcast_to(array.mean(axis=-1, keepdims=True), shape)
    return None
