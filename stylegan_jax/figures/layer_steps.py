"""One layer of the synthesis network, step by step: noise, normalisation, style."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.figures.studio import Studio, as_signed
from stylegan_jax.networks.generator import Generator

_SHOWN = 4  # channels by default


class _Column(NamedTuple):
    step: str
    title: str
    group: str
    scale: str  # columns of one scale have one range of colours


_COLUMNS = (
    _Column("weights", "convolution", "", "features"),
    _Column("noise", "draw", "noise", "noise"),
    _Column("factor", "scale", "noise", "factor"),
    _Column("scaled_noise", "multiply", "noise", "scaled noise"),
    _Column("noisy", "add", "noise", "features"),
    _Column("activated", "leaky ReLU", "", "features"),
    _Column("normalised", "normalise", "AdaIN", "normal"),
    _Column("styled", "style", "AdaIN", "normal"),
)


def layer(
    studio: Studio,
    seed: int,
    *,
    number: int,
    channels: Sequence[int] | None = None,
    psi: float = 1.0,
) -> np.ndarray:
    """Channels of a layer after each of its steps, a row each, uint8 `[H, W, 3]`.

    `number` of the layer counts from 1. `channels` are by default the four that noise,
    which is the stored one, changes most. Red is positive, blue negative; numbers are
    mean and standard deviation over pixels.

    Source: Karras et al. 2018, figure 1b and equation 1.
    """
    studio.require("convolutions", "the figure of a layer")
    if not 1 <= number <= studio.num_layers:
        raise UserError(
            f"`layer` {number}: this network has layers 1 to {studio.num_layers}"
        )
    maps = steps(studio.generator, studio.ws([seed], psi=psi), layer=number - 1)
    count = maps["weights"].shape[-1]
    if channels is None:
        channels = sorted(np.argsort(-_by_noise(maps))[:_SHOWN].tolist())
    if not channels or not set(channels) <= set(range(count)):
        raise UserError(
            f"`channels` {list(channels)}: layer {number} has 0 to {count - 1}"
        )
    columns = [column for column in _COLUMNS if column.step in maps]
    shown = [maps[column.step][..., list(channels)] for column in columns]
    spans: dict[str, float] = {}
    for column, x in zip(columns, shown, strict=True):
        span = float(np.quantile(np.abs(x), 0.99))
        spans[column.scale] = max(span, spans.get(column.scale, 0.0))
    rows: list[list[np.ndarray]] = []
    captions: list[str] = []
    for place in range(len(channels)):
        row = [x[..., place] for x in shown]
        pairs = list(zip(columns, row, strict=True))
        rows.append([as_signed(x, spans[column.scale]) for column, x in pairs])
        captions += [_numbers(column, x) for column, x in pairs]
    groups = itertools.groupby(column.group for column in columns)
    size = 2 ** ((number - 1) // 2 + 2)
    return studio.page(
        rows,
        row_labels=[f"channel {channel}" for channel in channels],
        row_groups=[(f"seed {seed}, layer {number}, {size} px", len(channels))],
        column_labels=[f"{c.title}, ±{spans[c.scale]:.2g}" for c in columns],
        column_groups=[(name, len([*group])) for name, group in groups],
        captions=captions,
    )


def steps(generator: Generator, ws: np.ndarray, *, layer: int) -> dict[str, np.ndarray]:
    """Maps of one image after each step of `layer`, from 0: float64 `[R, R, C]` each.

    Those of `Generator.layer_steps`; and of layers with noise `noise`, the same in all
    channels, and `factor`, the learned scale of each, the same in all pixels.
    """
    found = jax.device_get(_layer_steps(generator, ws, layer=layer))
    maps = {name: x[0].astype(np.float64) for name, x in found.items()}
    if "scaled_noise" in maps:
        shared = layer - layer % 2 if generator.config.shared_noise else layer
        noise = np.asarray(generator.noise[shared][0], np.float64)
        scaled = maps["scaled_noise"]
        factor = (scaled * noise).sum((0, 1)) / (noise**2).sum()
        maps["noise"] = np.broadcast_to(noise, scaled.shape)
        maps["factor"] = np.broadcast_to(factor, scaled.shape)
    return maps


_layer_steps = jax.jit(Generator.layer_steps, static_argnames="layer")


def _by_noise(maps: dict[str, np.ndarray]) -> np.ndarray:
    """Deviation of the noise over that of the features, `[C]`; without noise 0."""
    spread = maps["weights"].std((0, 1))
    noise = maps.get("scaled_noise", 0 * maps["weights"])
    return noise.std((0, 1)) / np.maximum(spread, 1e-12)


def _numbers(column: _Column, x: np.ndarray) -> str:
    if column.step == "factor":
        return f"{x[0, 0]:.2g}".replace("-", "−")
    mean = round(float(x.mean()), 2) + 0.0  # no "−0.00"
    return f"{mean:.2f} ± {x.std():.2f}".replace("-", "−")
