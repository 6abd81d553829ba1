"""Layer table of the Inception network of 2015.

Source: Szegedy et al. 2016, table 1 and figures 5 to 7; torchvision's `inception.py`
and mseitzer/pytorch-fid's.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution, batch normalisation, ReLU; a stride of None keeps the size.

    `kernel` is height and width; other strides have no padding.
    """

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int | None = None


@dataclasses.dataclass(frozen=True)
class Pool:
    """Max or average pooling of 3 x 3 pixels; `stride` as in `Conv`."""

    kind: Literal["max", "avg"]
    stride: int | None = None


@dataclasses.dataclass(frozen=True)
class Fork:
    """Parallel branches of layers, concatenated along channels in order."""

    prefix: str
    branches: tuple[tuple["Layer", ...], ...]


Layer = Conv | Pool | Fork


_Row = tuple[Layer, ...]


def _conv(
    name: str, width: int, kernel: str = "1x1", stride: int | None = None
) -> Conv:
    height, across = map(int, kernel.split("x"))
    return Conv(name, width, (height, across), stride)


def _row(prefix: str, *layers: tuple[int, str], stride: int | None = None) -> _Row:
    """Convolutions `prefix_1`, `prefix_2`, ...; `stride` is of the last."""
    last = len(layers)
    return tuple(
        _conv(f"{prefix}_{i}", width, kernel, stride if i == last else None)
        for i, (width, kernel) in enumerate(layers, start=1)
    )


def _pooled(kind: Literal["max", "avg"], width: int) -> _Row:
    return (Pool(kind), _conv("branch_pool", width))


def _block_35(name: str, pool_width: int) -> Fork:
    """At 35 x 35 pixels (figure 5)."""
    return Fork(
        f"{name}.",
        (
            (_conv("branch1x1", 64),),
            _row("branch5x5", (48, "1x1"), (64, "5x5")),
            _row("branch3x3dbl", (64, "1x1"), (96, "3x3"), (96, "3x3")),
            _pooled("avg", pool_width),
        ),
    )


def _block_17(name: str, inner: int) -> Fork:
    """At 17 x 17 pixels (figure 6)."""
    once = ((inner, "1x1"), (inner, "1x7"), (192, "7x1"))
    twice = ((inner, "1x1"), (inner, "7x1"), (inner, "1x7"), (inner, "7x1"))
    return Fork(
        f"{name}.",
        (
            (_conv("branch1x1", 192),),
            _row("branch7x7", *once),
            _row("branch7x7dbl", *twice, (192, "1x7")),
            _pooled("avg", 192),
        ),
    )


def _block_8(name: str, pool: Literal["max", "avg"]) -> Fork:
    """At 8 x 8 pixels (figure 7)."""
    return Fork(
        f"{name}.",
        (
            (_conv("branch1x1", 320),),
            (_conv("branch3x3_1", 384), _cross("branch3x3_2")),
            (
                *_row("branch3x3dbl", (448, "1x1"), (384, "3x3")),
                _cross("branch3x3dbl_3"),
            ),
            _pooled(pool, 192),
        ),
    )


def _cross(name: str) -> Fork:
    return Fork(name, ((_conv("a", 384, "1x3"),), (_conv("b", 384, "3x1"),)))


_TO_17 = Fork(
    "Mixed_6a.",
    (
        (_conv("branch3x3", 384, "3x3", 2),),
        _row("branch3x3dbl", (64, "1x1"), (96, "3x3"), (96, "3x3"), stride=2),
        (Pool("max", stride=2),),
    ),
)
_SEVENS = ((192, "1x1"), (192, "1x7"), (192, "7x1"), (192, "3x3"))
_TO_8 = Fork(
    "Mixed_7a.",
    (
        _row("branch3x3", (192, "1x1"), (320, "3x3"), stride=2),
        _row("branch7x7x3", *_SEVENS, stride=2),
        (Pool("max", stride=2),),
    ),
)

LAYERS: tuple[Layer, ...] = (
    _conv("Conv2d_1a_3x3", 32, "3x3", 2),
    _conv("Conv2d_2a_3x3", 32, "3x3", 1),
    _conv("Conv2d_2b_3x3", 64, "3x3"),
    Pool("max", stride=2),
    _conv("Conv2d_3b_1x1", 80),
    _conv("Conv2d_4a_3x3", 192, "3x3", 1),
    Pool("max", stride=2),
    _block_35("Mixed_5b", 32),
    _block_35("Mixed_5c", 64),
    _block_35("Mixed_5d", 64),
    _TO_17,
    _block_17("Mixed_6b", 128),
    _block_17("Mixed_6c", 160),
    _block_17("Mixed_6d", 160),
    _block_17("Mixed_6e", 192),
    _TO_8,
    _block_8("Mixed_7b", "avg"),
    _block_8("Mixed_7c", "max"),  # the mean in Inception v3 proper
)
