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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Trained networks to begin from; `fields` are those of its train state."""

    name: str  # for people
    config: ModelConfig
    resolution: int  # as far as they have grown, in pixels
    fields: Mapping[str, Any]


class Beginning(NamedTuple):
    """Start of a run from trained networks."""

    source: Source
    kimg: float = 0.0  # thousands of images that count as shown


class Row(NamedTuple):
    """Outcome of one part of the state, in numbers of arrays."""

    part: str
    copied: int
    total: int
    fresh: Mapping[str, int]  # by reason


def with_networks(recipe: Config, theirs: ModelConfig, resolution: int) -> Config:
    """The recipe with another configuration's networks.

    Classes and channels stay the data's. Growing begins at `resolution` pixels, at
    most that of the networks. Adaptive augmentation is quicker, as in ADA, unless the
    recipe has its own speed.
    """
    kept = {name: getattr(recipe.model, name) for name in _OF_THE_RECIPE}
    model = dataclasses.replace(theirs, **kept)
    lowest = min(resolution, model.resolution)
    schedule = dataclasses.replace(recipe.schedule, initial_resolution=lowest)
    augment = recipe.augment
    if augment.kimg == AugmentConfig.kimg:
        augment = dataclasses.replace(augment, kimg=_KIMG)
    return dataclasses.replace(recipe, model=model, schedule=schedule, augment=augment)


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
    frozen = config.freeze_d
    if not frozen or (beginning is not None and "d_params" in beginning.source.fields):
        return
    lacks = (
        "there is no network to begin from"
        if beginning is None
        else f"{beginning.source.name} comes without its discriminator"
    )
    raise UserError(
        f"optimizer.freeze_d {frozen} would keep random weights as they are: {lacks}; "
        "give `init` a run or a pickle that has one, or leave it 0"
    )


def adopt(
    state: TrainState, model: ModelConfig, source: Source
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
        there = {field: source.fields[field]} if field in source.fields else {}
        theirs, found, fresh = stored.named_leaves(there), {}, collections.Counter()
        for name, leaf in ours.items():
            value = theirs.get(name)
            fitted = _fitted(name, value, leaf.shape, source.config, model)
            if fitted is None:
                fresh[_reason(value, bool(there), leaf.shape)] += 1
            else:
                found[name] = fitted
        rows.append(Row(part, len(found), len(ours), fresh))
        if found:
            leaves = [jnp.array(found.get(name, x)) for name, x in ours.items()]
            changed[field] = jax.tree.unflatten(jax.tree.structure(whole), leaves)
    if not rows[0].copied:
        reasons = ", ".join(rows[0].fresh)
        raise UserError(
            f"`init` {source.name} has nothing in common with the networks to be "
            f"trained ({reasons}); leave flags of the model out to take its "
            "architecture, or leave `init` out"
        )
    return dataclasses.replace(state, **changed), rows


def table(source: Source, rows: list[Row]) -> str:
    """Table of copied and fresh parts, with reasons."""
    lines = [f"begun from {source.name}, {source.resolution} px:"]
    for row in rows:
        if not row.total:
            continue
        because = "; ".join(f"{count} {why}" for why, count in row.fresh.items())
        fresh = f"   fresh: {because}" if because else ""
        lines.append(f"  {row.part:<14} {row.copied:>3} of {row.total} arrays{fresh}")
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


def _reason(value: Array | None, there: bool, shape: tuple[int, ...]) -> str:
    if not there:
        return "not in the file"
    if value is None:
        return "of a resolution or layer that it lacks"
    return f"of another size ({_text(value.shape)}, not {_text(shape)})"


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"
